"""The side-by-side sheet: what each variant drew for the same prompt and seed."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmark.prompts import Prompt, PromptSet
from benchmark.records import RequestRecord

WIDEST = 192


@dataclass(frozen=True)
class SheetRow:
    prompt: Prompt
    pictures: dict[str, Path]


def sheet_rows(
    records: Sequence[RequestRecord], prompt_set: PromptSet, pictures: Path
) -> list[SheetRow]:
    """A row a prompt that has a picture, first repetition only."""
    rows: dict[int, SheetRow] = {}
    for record in records:
        path = pictures / record.picture if record.picture and record.repetition == 0 else None
        if path is not None and path.exists():
            prompt = prompt_set.prompts[record.prompt]
            rows.setdefault(record.prompt, SheetRow(prompt, {})).pictures[record.model] = path
    return [rows[index] for index in sorted(rows)]


def sheet_html(rows: Sequence[SheetRow], models: Sequence[str], shown: int = 12) -> str:
    """The first rows open, the others behind a fold: the page is still one to scroll."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(model)}</th>" for model in models)

    def table(part: Sequence[SheetRow]) -> str:
        body = "".join(_row(row, models) for row in part)
        return (
            f'<div class="wide"><table class="sheet"><thead><tr><th>prompt, seed</th>{head}</tr>'
            f"</thead><tbody>{body}</tbody></table></div>"
        )

    rest = rows[shown:]
    fold = f"<details><summary>{len(rest)} more</summary>{table(rest)}</details>" if rest else ""
    return (
        '<section id="sheet"><h2>The pictures, side by side</h2>'
        f"<p>Same prompt and seed in every row.</p>{table(rows[:shown])}{fold}</section>"
    )


def _row(row: SheetRow, models: Sequence[str]) -> str:
    cells = "".join(
        f'<td><img alt="{escape(model)}" src="{_thumbnail(row.pictures[model])}"></td>'
        if model in row.pictures
        else "<td>–</td>"
        for model in models
    )
    return f"<tr><td>{escape(row.prompt.text)}<br><small>{row.prompt.seed}</small></td>{cells}</tr>"


def _thumbnail(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as opened:
        image = opened.convert("RGB")
    image.thumbnail((WIDEST, WIDEST))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=82)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
