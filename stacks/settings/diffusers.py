"""The kind `diffusers`: PyTorch runs the model as diffusers loads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from g5.options import LEVERS, DiffusersOptions
from sd_contract.environment import DTYPES
from stacks.settings.rules import flag, one_of, setting
from stacks.settings.variant import GPU_AMIS, GPU_INSTANCES, GpuBulkSettings, VariantSettings


@dataclass(frozen=True, kw_only=True)
class DiffusersSettings(VariantSettings):
    """`dtype` "auto" is float16 on a GPU and float32 without one: for a laptop of either kind. As
    `vae_dtype` it is that of the others. What the levers do, g5.options says."""

    kind: ClassVar = "diffusers"
    engine: ClassVar = "diffusers"
    folder: ClassVar = "g5"
    repository: ClassVar = "huggingface-pytorch-inference"

    instance_type: str = setting(one_of(*GPU_INSTANCES))
    ami: str = setting(one_of(*GPU_AMIS))
    bulk: GpuBulkSettings = field(metadata={"section": GpuBulkSettings})
    dtype: str = setting(one_of(*DTYPES))
    vae_dtype: str = setting(one_of(*DTYPES))
    channels_last: bool = setting(flag())
    fused_qkv: bool = setting(flag())
    cuda_graphs: bool = setting(flag())
    torch_compile: bool = setting(flag())
    cudnn_benchmark: bool = setting(flag())

    @property
    def keeps_deep_half(self) -> bool:
        return not (self.cuda_graphs or self.torch_compile)

    def environment(self) -> Mapping[str, str]:
        levers = {name: getattr(self, name) for name in LEVERS}
        return DiffusersOptions(vae_dtype=self.vae_dtype, **levers).to_env()
