"""The kind `diffusers`: PyTorch runs the model as diffusers loads it."""

from dataclasses import dataclass, field
from typing import ClassVar

from sd_contract.environment import DTYPES
from stacks.settings.rules import one_of, setting
from stacks.settings.variant import GPU_AMIS, GPU_INSTANCES, GpuBulkSettings, VariantSettings


@dataclass(frozen=True, kw_only=True)
class DiffusersSettings(VariantSettings):
    """`dtype` "auto" is float16 on a GPU and float32 without one: for a laptop of either kind."""

    kind: ClassVar = "diffusers"
    engine: ClassVar = "diffusers"
    folder: ClassVar = "g5"
    repository: ClassVar = "huggingface-pytorch-inference"

    instance_type: str = setting(one_of(*GPU_INSTANCES))
    ami: str = setting(one_of(*GPU_AMIS))
    bulk: GpuBulkSettings = field(metadata={"section": GpuBulkSettings})
    dtype: str = setting(one_of(*DTYPES))
