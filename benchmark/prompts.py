"""The prompt sets: `real` for Stable Diffusion; for the small model that draws shapes `tiny`, and
`held-out`, of combinations and words alone that its training left out."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import BenchmarkError

BUILT_IN = {
    "real": Path(__file__).parent / "data" / "prompts.json",
    "tiny": Path(__file__).parent / "data" / "prompts_tiny.json",
}
HELD_OUT = "held-out"
SMALL_MODELS = ("tiny", HELD_OUT)


@dataclass(frozen=True)
class Prompt:
    index: int
    text: str
    seed: int


@dataclass(frozen=True)
class PromptSet:
    """`digest` is of texts and seeds: a resumed run must find the same ones."""

    name: str
    digest: str
    prompts: Sequence[Prompt]


def load_prompts(name: str) -> PromptSet:
    """`real`, `tiny`, `held-out`, or a JSON file's path: {"prompts": [{"text", "seed"}, …]}."""
    if name == HELD_OUT:
        return _set(name, _held_out())
    path = BUILT_IN.get(name, Path(name))
    try:
        entries = json.loads(path.read_text())["prompts"]
        prompts = [Prompt(i, str(e["text"]), int(e["seed"])) for i, e in enumerate(entries)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(
            f"--prompts {name}: give real, tiny, held-out or a prompts file; {error!r}"
        ) from error
    if not prompts:
        raise BenchmarkError(f"{path} has no prompts")
    return _set(name if name in BUILT_IN else path.name, prompts)


def _held_out() -> list[Prompt]:
    from model_assets.tiny.data import held_out_prompts

    return [Prompt(number, text, number) for number, (text, _) in enumerate(held_out_prompts())]


def _set(name: str, prompts: Sequence[Prompt]) -> PromptSet:
    content = json.dumps([[p.text, p.seed] for p in prompts])
    return PromptSet(name, hashlib.sha256(content.encode()).hexdigest()[:16], prompts)
