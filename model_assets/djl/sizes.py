"""The pictures that DeepSpeed 0.12.6's attention draws right: read by the settings too, so pure.

Its Triton kernel loads blocks of 64 positions and checks no bounds (ops/transformer/inference/
triton_ops.py, diffusers_attention.py): where a level of the UNet doesn't fill its blocks it reads
on into what isn't the picture's, and nothing says so. The last level has 1/64 of the pixels along
each side, so their product must be a multiple of 64. It can't be more than one, for the first
level's `max_out_tokens` is 4096 (module_inject/replace_module.py).
"""

from __future__ import annotations

from sd_contract.size import Size

BLOCK = 64


def attention_fits(size: Size) -> bool:
    return not (size.width % 64 or size.height % 64) and size.pixels == BLOCK * 64 * 64


FITTING = tuple(
    str(size)
    for width in range(64, 1025, 64)
    for height in range(64, 1025, 64)
    if attention_fits(size := Size(width, height))
)
"""Of the sizes that the settings allow."""
