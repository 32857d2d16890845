"""A TorchScript graph that is as strict as a Neuron graph.

`torch.jit.trace` records operations and then takes whatever they happen to take; a Neuron graph
takes the shapes and dtypes it was compiled for. The check is part of the saved file, so that a
double of the accelerator refuses what the accelerator would refuse, wherever it is loaded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _check(name: str, given: Tensor, like: Tensor) -> None:
    if given.size() != like.size() or given.dtype != like.dtype:
        # TorchScript has no dtype names; `like` says which one it is as well as a name would.
        raise RuntimeError(
            f"{name}: this graph was compiled for {like.size()} like {like[..., :0]}, "
            f"and got {given.size()} like {given[..., :0]}"
        )


class ExactOne(nn.Module):
    def __init__(self, graph: torch.jit.ScriptModule, a: Tensor) -> None:
        super().__init__()
        self.graph = graph
        self.a = a

    def forward(self, a: Tensor) -> Tensor:
        _check("input 0", a, self.a)
        out: Tensor = self.graph(a)
        return out


class ExactThree(nn.Module):
    def __init__(self, graph: torch.jit.ScriptModule, a: Tensor, b: Tensor, c: Tensor) -> None:
        super().__init__()
        self.graph = graph
        self.a = a
        self.b = b
        self.c = c

    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        _check("input 0", a, self.a)
        _check("input 1", b, self.b)
        _check("input 2", c, self.c)
        out: Tensor = self.graph(a, b, c)
        return out


def exact(graph: torch.jit.ScriptModule, inputs: tuple[Tensor, ...]) -> torch.jit.ScriptModule:
    """`graph`, refusing with RuntimeError what differs from `inputs` in shape or dtype."""
    kind = {1: ExactOne, 3: ExactThree}[len(inputs)]
    scripted: torch.jit.ScriptModule = torch.jit.script(kind(graph, *inputs))
    return scripted
