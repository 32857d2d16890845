"""What a DJL container is told: the stacks write it, DJL Serving and model.py read it. So pure.

DJL makes of OPTION_X the option `x` (wlm/ModelInfo.java, loadServingProperties) and hands all of
them to the handler as text, and with them things of its own (`device_id`, `handler`, …) that are of
no use here. SERVING_* are its own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sd_contract.environment import ConfigError

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

_VARIABLE = "OPTION_"
_ACCELERATION, _CUDA_GRAPH, _ROWS = "acceleration", "enable_cuda_graph", "max_unet_rows"


@dataclass(frozen=True)
class DjlBatching:
    """DJL's own: up to `batch_size` requests that come within `max_batch_delay_ms` are one batch,
    and `job_queue_size` - 1 may wait."""

    batch_size: int
    max_batch_delay_ms: int
    job_queue_size: int

    def to_env(self) -> dict[str, str]:
        return {
            "SERVING_BATCH_SIZE": str(self.batch_size),
            "SERVING_MAX_BATCH_DELAY": str(self.max_batch_delay_ms),
            "SERVING_JOB_QUEUE_SIZE": str(self.job_queue_size),
        }


@dataclass(frozen=True)
class DjlOptions:
    acceleration: str
    """One of ACCELERATIONS. Only the middle one ever falls back, and then every answer says so."""
    cuda_graph: bool
    max_unet_rows: int
    """In one call of the UNet: even, for an image with guidance takes two; at most
    MAX_UNET_ROWS."""
    model_dir: Path = Path("/opt/ml/model")
    """The weights; of the image, not of the deploy."""

    @property
    def max_pictures_per_pass(self) -> int:
        return self.max_unet_rows // 2

    def to_env(self) -> dict[str, str]:
        """All but `model_dir`."""
        options = {
            _ACCELERATION: self.acceleration,
            _CUDA_GRAPH: str(self.cuda_graph).lower(),
            _ROWS: str(self.max_unet_rows),
        }
        return {f"{_VARIABLE}{name.upper()}": value for name, value in options.items()}

    @classmethod
    def from_env(cls, env: Mapping[str, str], model_dir: Path) -> DjlOptions:
        """Of what `to_env` gave, for who has no DJL to read it. Raises ConfigError."""
        given = {
            name.removeprefix(_VARIABLE).lower(): value
            for name, value in env.items()
            if name.startswith(_VARIABLE)
        }
        return cls.from_properties({**given, "model_id": str(model_dir)})

    @classmethod
    def from_properties(cls, properties: Mapping[str, object]) -> DjlOptions:
        """Raises ConfigError that lists every mistake."""
        problems: list[str] = []

        def choice(name: str, allowed: tuple[str, ...]) -> str:
            value = str(properties.get(name, allowed[0]))
            if value not in allowed:
                problems.append(f"option.{name}={value!r}: one of {', '.join(allowed)}")
            return value

        acceleration = choice(_ACCELERATION, ACCELERATIONS)
        cuda_graph = choice(_CUDA_GRAPH, ("false", "true")) == "true"
        most = GRAPH_ROWS if cuda_graph else MAX_UNET_ROWS
        rows = str(properties.get(_ROWS, most))
        if rows not in map(str, range(2, most + 1, 2)):
            because = f" with {_CUDA_GRAPH}=true" if cuda_graph else ""
            problems.append(f"option.{_ROWS}={rows!r}: an even number from 2 to {most}{because}")
        if cuda_graph and acceleration == PYTORCH:
            problems.append(f"option.{_CUDA_GRAPH}='true': only with DeepSpeed")
        degree = properties.get("tensor_parallel_degree", "1")
        if str(degree) != "1":
            problems.append(f"option.tensor_parallel_degree={degree!r}: only 1")
        model_id = str(properties.get("model_id", ""))
        if not model_id.startswith("/"):
            problems.append(f"option.model_id={model_id!r}: the folder of the weights, absolute")
        if problems:
            raise ConfigError(problems)
        return cls(acceleration, cuda_graph, int(rows), Path(model_id))
