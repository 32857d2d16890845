"""What serving.properties and OPTION_* tell the handler, typed. DJL hands all of it over as text,
and with it things of its own (`device_id`, `handler`, `model_dir`, …) that are of no use here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sd_serving.errors import ConfigError

DEEPSPEED = "deepspeed"
DEEPSPEED_OR_PYTORCH = "deepspeed-or-pytorch"
PYTORCH = "pytorch"
ACCELERATIONS = (DEEPSPEED, DEEPSPEED_OR_PYTORCH, PYTORCH)

MAX_UNET_ROWS = 16
"""DeepSpeed's kernels share a workspace that grows with the rows, 5.8 GB at 16
(csrc/transformer/inference/includes/inference_context.h, GenWorkSpace: 5 heads of 64, 32 attention
layers, 4096 tokens, fp16). Where it doesn't fit in free memory it is made for fewer tokens than
the kernels then use, so the limit is one that leaves a 24 GB GPU room."""
GRAPH_ROWS = 2
"""A CUDA graph replays one shape: one image and its guidance row."""


@dataclass(frozen=True)
class DjlOptions:
    model_dir: Path
    """The weights."""
    acceleration: str
    """One of ACCELERATIONS. Only the middle one ever falls back, and then every answer says so."""
    cuda_graph: bool
    max_unet_rows: int
    """In one call of the UNet: even, for an image with guidance takes two; at most
    MAX_UNET_ROWS."""

    @property
    def max_images_per_pass(self) -> int:
        return self.max_unet_rows // 2

    @classmethod
    def from_properties(cls, properties: Mapping[str, object]) -> DjlOptions:
        """Raises ConfigError that lists every mistake."""
        problems: list[str] = []

        def choice(name: str, allowed: tuple[str, ...]) -> str:
            value = str(properties.get(name, allowed[0]))
            if value not in allowed:
                problems.append(f"option.{name}={value!r}: one of {', '.join(allowed)}")
            return value

        acceleration = choice("acceleration", ACCELERATIONS)
        cuda_graph = choice("enable_cuda_graph", ("false", "true")) == "true"
        most = GRAPH_ROWS if cuda_graph else MAX_UNET_ROWS
        rows = str(properties.get("max_unet_rows", most))
        if rows not in map(str, range(2, most + 1, 2)):
            because = " with enable_cuda_graph=true" if cuda_graph else ""
            problems.append(
                f"option.max_unet_rows={rows!r}: an even number from 2 to {most}{because}"
            )
        if cuda_graph and acceleration == PYTORCH:
            problems.append("option.enable_cuda_graph='true': only with DeepSpeed")
        if str(properties.get("tensor_parallel_degree", "1")) != "1":
            problems.append(
                f"option.tensor_parallel_degree={properties['tensor_parallel_degree']!r}: only 1"
            )
        model_id = str(properties.get("model_id", ""))
        if not model_id.startswith("/"):
            problems.append(f"option.model_id={model_id!r}: the folder of the weights, absolute")
        if problems:
            raise ConfigError(problems)
        return cls(Path(model_id), acceleration, cuda_graph, int(rows))
