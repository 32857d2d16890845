"""A torch_neuronx to import where there is none: TorchScript under its names, and a note of how it
was called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = """
import torch
from torch.overrides import TorchFunctionMode

calls = []
failure = None


class MatmultInBfloat16(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") not in ("conv2d", "linear", "bmm", "matmul"):
            return func(*args, **(kwargs or {}))
        narrow = [round_float32(value) for value in args[:2]]
        return round_float32(func(*narrow, *args[2:], **(kwargs or {})))


def round_float32(value):
    return value.bfloat16().float() if value.dtype == torch.float32 else value


def trace(network, inputs, **options):
    calls.append(("trace", options))
    arguments = options["compiler_args"]
    if failure:
        status, line = failure
        with open(arguments[arguments.index("--logfile") + 1], "w") as log:
            log.write(line)
        raise RuntimeError(f"neuronx-cc failed with {status}")
    assert "--auto-cast=matmult" in arguments
    with MatmultInBfloat16():
        return torch.jit.trace(network, inputs, check_trace=False)


def async_load(graph):
    calls.append(("async_load",))


def lazy_load(graph):
    calls.append(("lazy_load",))


class DataParallel:
    def __init__(self, graph, cores, set_dynamic_batching):
        calls.append(("DataParallel", cores, set_dynamic_batching))
        self.graph = graph

    def __call__(self, *inputs):
        assert {len(values) for values in inputs} == {2}
        return torch.cat([self.graph(*(v[i : i + 1] for v in inputs)) for i in (0, 1)])
"""


def install(folder: Path, patch: pytest.MonkeyPatch, *, compiler: str = "2.21.18209.0") -> None:
    """Importable until the patch is undone; `compiler` is the version of neuronx-cc."""
    folder.mkdir(exist_ok=True)
    (folder / "torch_neuronx.py").write_text(MODULE)
    for name, version in (("neuronx_cc", compiler), ("torch_neuronx", "2.8.0.2.10.13553")):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata)
    patch.syspath_prepend(folder)
    patch.delitem(sys.modules, "torch_neuronx", raising=False)
    patch.setenv("NEURON_FUSE_SOFTMAX", "0")  # so that what the backend sets goes with the patch


def fail_with(status: int, log: str = "") -> None:
    """From now on the compiler ends like this, `log` being what its log file has then."""
    import torch_neuronx

    torch_neuronx.failure = (status, log)


def calls() -> list[tuple[Any, ...]]:
    import torch_neuronx

    found: list[tuple[Any, ...]] = torch_neuronx.calls
    return found
