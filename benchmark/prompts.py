"""The prompt sets: `real` for Stable Diffusion, `tiny` for the small model that draws shapes."""

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
    """`real`, `tiny`, or the path of a JSON file: {"prompts": [{"text", "seed"}, …]}."""
    path = BUILT_IN.get(name, Path(name))
    try:
        entries = json.loads(path.read_text())["prompts"]
        prompts = [Prompt(i, str(e["text"]), int(e["seed"])) for i, e in enumerate(entries)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(
            f"--prompts {name}: give real, tiny or a prompts file; {error!r}"
        ) from error
    if not prompts:
        raise BenchmarkError(f"{path} has no prompts")
    content = json.dumps([[p.text, p.seed] for p in prompts])
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return PromptSet(name if name in BUILT_IN else path.name, digest, prompts)
