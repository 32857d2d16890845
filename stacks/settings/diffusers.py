"""The kind `diffusers`: PyTorch runs the model as diffusers loads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from g5.options import LEVERS, DiffusersOptions
from sd_contract.environment import DTYPES, MAX_BATCH_SIZE, Batching
from stacks.settings.rules import flag, one_of, setting, whole
from stacks.settings.variant import GPU_AMIS, GPU_INSTANCES, GpuBulkSettings, VariantSettings


@dataclass(frozen=True, kw_only=True)
class DiffusersSettings(VariantSettings):
    """`dtype` "auto" is float16 on a GPU and float32 without one: for a laptop of either kind.
    As `vae_dtype` it is that of the others. What the levers do, g5.options says.

    Requests that wait are drawn together while their pictures are no more than `max_batch_size`,
    and one waits up to `max_batch_delay_ms` for others. 1 is exact: each picture is, bit for bit,
    the one made alone."""

    kind: ClassVar = "diffusers"
    engine: ClassVar = "diffusers"
    folder: ClassVar = "g5"
    repository: ClassVar = "huggingface-pytorch-inference"

    instance_type: str = setting(one_of(*GPU_INSTANCES))
    ami: str = setting(one_of(*GPU_AMIS))
    bulk: GpuBulkSettings = field(metadata={"section": GpuBulkSettings})
    dtype: str = setting(one_of(*DTYPES))
    max_batch_size: int = setting(whole(MAX_BATCH_SIZE.low, MAX_BATCH_SIZE.high))
    max_batch_delay_ms: int = setting(whole(0, 5_000))
    vae_dtype: str = setting(one_of(*DTYPES))
    channels_last: bool = setting(flag())
    fused_qkv: bool = setting(flag())
    cuda_graphs: bool = setting(flag())
    torch_compile: bool = setting(flag())
    cudnn_benchmark: bool = setting(flag())

    @property
    def at_once(self) -> int:
        return self.max_batch_size

    @property
    def keeps_deep_half(self) -> bool:
        return not (self.cuda_graphs or self.torch_compile)

    def environment(self) -> Mapping[str, str]:
        levers = {name: getattr(self, name) for name in LEVERS}
        options = DiffusersOptions(vae_dtype=self.vae_dtype, **levers)
        batching = Batching(self.max_batch_size, self.max_batch_delay_ms)
        return {**options.to_env(), **batching.to_env()}
