"""Weights in the order that oneDNN computes in.

PyTorch's CPU convolutions bring their weights into that order anew at every call, which for the
deep levels of the UNet, few pixels and many channels, takes longer than the arithmetic; and its
float32 matrix products are MKL's, on AMD's processors the slower of the two. Packed once, at the
load, both are oneDNN's from then on: `python -m benchmark speed` has what it gives. The operations
are those that torch.compile puts in their place (torch/_inductor/mkldnn_ir.py), here from torch 2.1
on; values differ by rounding alone.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    import torch

    return (
        device.type == "cpu"
        and dtype == torch.float32
        # Elsewhere other libraries stand behind the operations, whose gain nobody has measured.
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and all(
            hasattr(torch.ops.mkldnn, name)
            for name in ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")
        )
    )


def pack(network: Any) -> None:
    """The convolutions and matrix products of a network, in place: their `weight` is None from then
    on, so that nothing is held twice. It can be run, but neither saved, moved nor traced."""
    import torch

    for module in network.modules():
        # Of these classes, not of theirs below, whose `forward` does more.
        if type(module) is torch.nn.Linear:
            forward = _linear(module)
        elif type(module) is torch.nn.Conv2d and _is_plain(module):
            forward = _convolution(module)
        else:
            continue
        vars(module)["forward"] = forward
        module.register_parameter("weight", None)


def _linear(module: torch.nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    weight, bias = torch.ops.mkldnn._reorder_linear_weight(module.weight.data), module.bias

    def forward(values: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(values, weight, bias, "none", [], "")
        return out

    return forward


def _is_plain(module: torch.nn.Conv2d) -> bool:
    return module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _convolution(module: torch.nn.Conv2d) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    sides = (module.padding, module.stride, module.dilation)
    how: tuple[Any, ...] = (*([*side] for side in sides), module.groups)
    weight = torch._C._nn.mkldnn_reorder_conv2d_weight(module.weight.data.to_mkldnn(), *how)
    bias = module.bias

    def forward(values: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            values, weight, bias, *how, "none", [], ""
        )
        return out

    return forward
