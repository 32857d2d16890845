"""Draws docs/tiny-contact-sheet.png, 48 held-out prompts with their pictures.

`python -m model_assets.tiny.contact_sheet`
"""

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw

from model_assets.tiny.data import SIZE, held_out_prompts
from model_assets.tiny.sampling import Sampler

TARGET = Path(__file__).parents[2] / "docs" / "tiny-contact-sheet.png"
COLUMNS, ROWS = 8, 6
ZOOM = 2
CAPTION = 48
GAP = 8


def contact_sheet(prompts: list[str], pictures: list[Image.Image]) -> Image.Image:
    cell = SIZE * ZOOM + GAP
    sheet = Image.new("RGB", (COLUMNS * cell + GAP, ROWS * (cell + CAPTION) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (prompt, picture) in enumerate(zip(prompts, pictures, strict=True)):
        x, y = GAP + i % COLUMNS * cell, GAP + i // COLUMNS * (cell + CAPTION)
        side = SIZE * ZOOM
        sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), (x, y))
        pen.rectangle((x - 1, y - 1, x + side, y + side), outline="lightgrey")
        caption = "\n".join(textwrap.wrap(prompt, 25, max_lines=4, placeholder=" …"))
        pen.multiline_text((x, y + side + 3), caption, fill="black", spacing=1, font_size=10)
    return sheet


def main() -> None:
    every_fourth = held_out_prompts()[:: 200 // (COLUMNS * ROWS)][: COLUMNS * ROWS]
    prompts = [text for text, _ in every_fourth]
    pictures = Sampler().draw(prompts, range(len(prompts)))
    contact_sheet(prompts, pictures).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
