"""The diffusers kind's levers, each measured with everything else as it is."""

from collections.abc import Mapping

from g5.options import DiffusersOptions

PLAIN, AS_SET = DiffusersOptions(), DiffusersOptions(channels_last=True)
TOGETHER = DiffusersOptions(
    channels_last=True, fused_qkv=True, cuda_graphs=True, torch_compile=True
)
ON_GPU: Mapping[str, tuple[DiffusersOptions, DiffusersOptions]] = {
    "channels_last": (AS_SET, PLAIN),
    "fused_qkv": (DiffusersOptions(channels_last=True, fused_qkv=True), AS_SET),
    "cuda_graphs": (DiffusersOptions(channels_last=True, cuda_graphs=True), AS_SET),
    "torch_compile": (DiffusersOptions(channels_last=True, torch_compile=True), AS_SET),
    "cudnn_benchmark": (DiffusersOptions(channels_last=True, cudnn_benchmark=True), AS_SET),
    "vae_float16": (AS_SET, DiffusersOptions(channels_last=True, vae_dtype="float32")),
}
"""By name: with it and without."""
ON_CPU = {
    "channels_last": (AS_SET, PLAIN),
    "fused_qkv": (DiffusersOptions(fused_qkv=True), PLAIN),
}


def row_name(lever: str, where: str) -> str:
    return f"{lever.replace('_', '-')}-{where}"


def as_set(device: str) -> DiffusersOptions:
    """What is deployed for such a device."""
    return AS_SET if device.startswith("cuda") else PLAIN
