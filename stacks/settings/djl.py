"""The kind `djl`: DJL-Serving, with DeepSpeed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from djl.options import (
    ACCELERATIONS,
    GRAPH_ROWS,
    MAX_UNET_ROWS,
    PYTORCH,
    DjlBatching,
    DjlOptions,
)
from djl.sizes import FITTING
from sd_contract.environment import Batching
from stacks.settings.problems import Problem
from stacks.settings.rules import flag, one_of, setting, whole
from stacks.settings.variant import GPU_AMIS, GPU_INSTANCES, GpuBulkSettings, VariantSettings


@dataclass(frozen=True, kw_only=True)
class DjlSettings(VariantSettings):
    """DJL hands over up to `max_batch_size` requests that arrive within `max_batch_delay_ms`, and
    answers 503 when `job_queue_size` - 1 are waiting. `acceleration` never falls back by itself:
    "deepspeed-or-pytorch" does so, and says so in every answer. `max_unet_rows` counts the guidance
    rows too."""

    kind: ClassVar = "djl"
    engine: ClassVar = "djl-deepspeed"
    folder: ClassVar = "djl"
    repository: ClassVar = "djl-inference"

    instance_type: str = setting(one_of(*GPU_INSTANCES))
    ami: str = setting(one_of(*GPU_AMIS))
    bulk: GpuBulkSettings = field(metadata={"section": GpuBulkSettings})
    # DJL itself takes 1200 to load (MODEL_LOADING_TIMEOUT in its image), and says why it can't.
    startup_timeout_s: int = setting(whole(1_200, 3_600))
    max_batch_size: int = setting(whole(1, 16))
    max_batch_delay_ms: int = setting(whole(0, 5_000))
    job_queue_size: int = setting(whole(2, 1_000))
    acceleration: str = setting(one_of(*ACCELERATIONS))
    cuda_graphs: bool = setting(flag())
    max_unet_rows: int = setting(whole(GRAPH_ROWS, MAX_UNET_ROWS))

    @property
    def at_once(self) -> int:
        return self.max_batch_size

    @property
    def keeps_deep_half(self) -> bool:
        return self.acceleration == PYTORCH

    @property
    def rows_count(self) -> bool:
        """A graph is of both halves."""
        return not self.cuda_graphs

    def environment(self) -> Mapping[str, str]:
        """Read by DJL itself, and by model_assets/djl/options.py."""
        served = DjlBatching(self.max_batch_size, self.max_batch_delay_ms, self.job_queue_size)
        # A bulk job has no DJL.
        in_bulk = Batching(self.max_batch_size, self.max_batch_delay_ms)
        options = DjlOptions(self.acceleration, self.cuda_graphs, self.max_unet_rows)
        return {**served.to_env(), **in_bulk.to_env(), **options.to_env()}

    def image_problems(self) -> Iterator[Problem]:
        if "-deepspeed" not in self.base_image:
            yield self.problem("base_image", "a tag with DeepSpeed (deepspeedX.Y.Z)")
        else:
            yield from super().image_problems()

    def problems(self, region: str) -> Iterator[Problem]:
        yield from super().problems(region)
        if self.max_unet_rows % 2:
            yield self.problem("max_unet_rows", "an even number")
        if self.cuda_graphs and len(self.sizes) > 1:
            yield self.problem("sizes", "one size with cuda_graphs", list(map(str, self.sizes)))
        if self.cuda_graphs and self.max_unet_rows != GRAPH_ROWS:
            yield self.problem("max_unet_rows", f"{GRAPH_ROWS} with cuda_graphs")
        if self.cuda_graphs and self.acceleration == PYTORCH:
            yield self.problem("cuda_graphs", "false without DeepSpeed, whose graphs they are")
        if self.acceleration != PYTORCH:
            anything = f"any with {self.path('acceleration')}={PYTORCH}"
            for size in map(str, self.sizes):
                if size not in FITTING:
                    allowed = f"{' | '.join(FITTING)} with DeepSpeed; {anything}"
                    yield self.problem("sizes", allowed, size)
            if self.dtype != "float16":
                yield self.problem("dtype", "float16 with DeepSpeed")
        if self.job_queue_size <= self.max_batch_size:
            # DJL refuses the last place while a batch is being made (v0.27.0, WorkLoadManager).
            yield self.problem(
                "job_queue_size",
                f"at least {self.max_batch_size + 1}, for a batch of "
                f"{self.path('max_batch_size')} to wait",
            )
