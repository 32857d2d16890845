"""How good pictures are: drawn as asked (small model), or by CLIP score (real weights)."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.prompts import PromptSet
from benchmark.report.analysis import Scores
from benchmark.run.records import RequestRecord

Scorer = Callable[[str, bytes], Mapping[str, float]]
"""Prompt and PNG → score by name; a yes or no is 1.0 or 0.0, so that means are shares."""


def score_pictures(
    records: Sequence[RequestRecord], prompt_set: PromptSet, pictures: Path, scorer: Scorer
) -> dict[str, Scores]:
    """By variant. A picture that isn't there any more is left out, and so not in the count."""
    scored: dict[str, list[Mapping[str, float]]] = {}
    for record in records:
        path = pictures / record.picture if record.picture else None
        if path is not None and path.exists():
            text = prompt_set.prompts[record.prompt].text
            scored.setdefault(record.model, []).append(scorer(text, path.read_bytes()))
    return {
        model: Scores(
            len(scores), {name: sum(s[name] for s in scores) / len(scores) for name in scores[0]}
        )
        for model, scores in scored.items()
    }


def drawn_right(prompt: str, picture: bytes) -> Mapping[str, float]:
    """For the small model's prompts: is it the shape, the colour, the background asked for?"""
    from model_assets.tiny.picture_check import describe, expected

    wanted, seen = expected(prompt), describe(picture)
    right = {
        "right shape": seen.shape == wanted.shape,
        "right colour": seen.colour == wanted.colour,
        "right background": seen.background == wanted.background,
    }
    right["all right"] = all(right.values())
    return {name: float(yes) for name, yes in right.items()}


def clip_scorer(weights: Path) -> Scorer:
    """CLIP score: 100 · max(0, cosine of picture and prompt), as torchmetrics defines it.

    `weights` is a folder with a CLIPModel and its processor, as `save_pretrained` writes it.
    """
    import torch
    from PIL import Image
    from transformers import CLIPModel, CLIPProcessor

    try:
        model: Any = CLIPModel.from_pretrained(weights, local_files_only=True).eval()
        processor: Any = CLIPProcessor.from_pretrained(weights, local_files_only=True)
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"--clip-weights {weights}: {error}") from error

    def score(prompt: str, picture: bytes) -> Mapping[str, float]:
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        inputs = processor(
            text=[prompt], images=[image], return_tensors="pt", truncation=True, padding=True
        )
        with torch.inference_mode():
            outputs = model(**inputs)
        cosine = torch.nn.functional.cosine_similarity(outputs.text_embeds, outputs.image_embeds)
        return {"CLIP score": 100 * max(0.0, float(cosine[0]))}

    return score
