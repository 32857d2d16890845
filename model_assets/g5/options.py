"""What a container of the kind `diffusers` is told besides: the stacks write it, inference.py reads
it. So pure.

Levers are switches of PyTorch's and diffusers' that make a picture in less time, each by the name
that it has there. What each gives on a card, and does to the picture, `python -m benchmark speed`
measures, a row each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sd_contract.environment import DTYPES, Parser, Reader, choice

LEVERS = ("channels_last", "fused_qkv", "cuda_graphs", "torch_compile", "cudnn_benchmark")
ON_GPU_ALONE = ("cuda_graphs", "cudnn_benchmark")
SAME = "auto"
"""The VAE computes in what the others do."""


@dataclass(frozen=True)
class DiffusersOptions:
    channels_last: bool = False
    """The convolutions' memory format."""
    fused_qkv: bool = False
    """Of the UNet's attention: one matrix product in place of two or three."""
    cuda_graphs: bool = False
    """A step of the UNet is launched at once."""
    torch_compile: bool = False
    """The UNet, by Inductor, for each shape of a batch."""
    cudnn_benchmark: bool = False
    """The fastest convolutions of the hour, where otherwise a restart draws the same bytes."""
    vae_dtype: str = SAME
    """One of DTYPES."""

    @property
    def levers(self) -> tuple[str, ...]:
        """Those that are on."""
        return tuple(name for name in LEVERS if getattr(self, name))

    def to_env(self) -> dict[str, str]:
        env = {"SD_LEVERS": ",".join(self.levers)}
        if self.vae_dtype != SAME:
            env["SD_VAE_DTYPE"] = self.vae_dtype
        return {name: value for name, value in env.items() if value}

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> DiffusersOptions:
        """Raises ConfigError."""
        read = Reader(env)
        levers = read("SD_LEVERS", _LEVERS, ())
        vae_dtype = read("SD_VAE_DTYPE", choice(DTYPES), SAME)
        read.raise_problems()
        return cls(vae_dtype=vae_dtype, **dict.fromkeys(levers, True))


def _levers(value: str) -> tuple[str, ...]:
    levers = tuple(value.split(","))
    if {*levers} - {*LEVERS}:
        raise ValueError
    return levers


_LEVERS = Parser(f"of {', '.join(LEVERS)}, with commas between them", _levers)
