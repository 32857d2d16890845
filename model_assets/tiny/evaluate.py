"""Measures the tiny model over the held-out prompts: `python -m model_assets.tiny.evaluate`.

Prompt i is drawn with seed i, in the default settings unless told otherwise.
"""

import argparse
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from model_assets.tiny.data import COLOURS, SHAPES, Picture, held_out_prompts
from model_assets.tiny.picture_check import describe
from model_assets.tiny.sampling import GUIDANCE_SCALE, STEPS, Sampler
from model_assets.tiny.tokenizer import WEIGHTS

BATCH = 20


def measure(
    sampler: Sampler, prompts: list[tuple[str, Picture]], steps: int, guidance_scale: float
) -> list[Picture]:
    """What the pictures of the prompts show."""
    shown: list[Picture] = []
    for start in tqdm(range(0, len(prompts), BATCH), "pictures", disable=len(prompts) <= BATCH):
        texts = [text for text, _ in prompts[start : start + BATCH]]
        seeds = range(start, start + len(texts))
        pictures = sampler.draw(texts, seeds, steps, guidance_scale)
        shown += [describe(picture) for picture in pictures]
    return shown


def _table(asked: list[Picture], shown: list[Picture]) -> str:
    pairs = list(zip(asked, shown, strict=True))
    background = [(a.colour, a.background) == (s.colour, s.background) for a, s in pairs]
    rows = {
        "colour and background": background,
        "shape": [a.shape == s.shape for a, s in pairs],
        "all three": [a == s for a, s in pairs],
    }
    for shape in SHAPES:
        rows[f"shape: {shape}"] = [s.shape == shape for a, s in pairs if a.shape == shape]
    for colour in COLOURS:
        rows[f"colour: {colour}"] = [s.colour == colour for a, s in pairs if a.colour == colour]
    lines = ["| what | right | share |", "|---|---|---|"]
    lines += [
        f"| {what} | {sum(right)} of {len(right)} | {sum(right) / len(right):.1%} |"
        for what, right in rows.items()
        if right
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="model_assets.tiny.evaluate", description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance-scale", type=float, default=GUIDANCE_SCALE)
    arguments = parser.parse_args()

    prompts = held_out_prompts(arguments.prompts)
    shown = measure(Sampler(arguments.weights), prompts, arguments.steps, arguments.guidance_scale)
    asked = [picture for _, picture in prompts]
    print(
        f"{len(prompts)} held-out prompts, {arguments.steps} steps, "
        f"guidance {arguments.guidance_scale}\n"
    )
    print(_table(asked, shown))
    wrong = [(text, s) for (text, a), s in zip(prompts, shown, strict=True) if a != s]
    for text, seen in wrong:
        print(f"\n- {text!r} showed a {seen.colour} {seen.shape} on {seen.background}", end="")
    if wrong:
        mistakes = Counter(seen.shape for _, seen in wrong)
        print(f"\n\nshapes seen in the wrong ones: {dict(mistakes)}")


if __name__ == "__main__":
    main()
