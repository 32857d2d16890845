"""What a graph is compared at: inputs that the loop gave it, and eager float32's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Samples = Mapping[str, Sequence["Sample"]]
    """By graph."""


@dataclass(frozen=True)
class Sample:
    label: str
    """For people: where in the drawing of the pictures the inputs are from."""
    inputs: tuple[Tensor, ...]
    output: Tensor


def save_samples(samples: Samples, file: Path) -> None:
    """As safetensors, which has no lists: the names count."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for graph, several in samples.items():
        for number, sample in enumerate(several):
            name = f"{graph}.{number}"
            # Cloned: safetensors takes no two names for one memory, such as a prompt's embeddings.
            tensors[f"{name}.output"] = sample.output.contiguous().clone()
            for place, value in enumerate(sample.inputs):
                tensors[f"{name}.input.{place}"] = value.contiguous().clone()
    save_file(tensors, file)


def load_samples(file: Path) -> dict[str, list[Sample]]:
    """As saved, but for the labels, which are the manifest's."""
    from safetensors.torch import load_file

    tensors = load_file(file)
    samples: dict[str, list[Sample]] = {}
    for name in sorted(name for name in tensors if name.endswith(".0.output")):
        graph = name.removesuffix(".0.output")
        samples[graph] = []
        for number in count():
            prefix = f"{graph}.{number}."
            if f"{prefix}output" not in tensors:
                break
            places = sum(key.startswith(f"{prefix}input.") for key in tensors)
            inputs = tuple(tensors[f"{prefix}input.{place}"] for place in range(places))
            samples[graph].append(Sample("", inputs, tensors[f"{prefix}output"]))
    return samples


def relative_rms(found: Tensor, wanted: Tensor) -> float:
    """RMS of the difference over RMS of what is wanted; NaN where `found` isn't finite."""
    difference = found.float() - wanted.float()
    return float(difference.square().mean().sqrt() / wanted.float().square().mean().sqrt())
