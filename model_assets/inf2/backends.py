"""What differs between a Neuron device and its double, and nothing else.

`neuronx` compiles with torch_neuronx and runs on NeuronCores. `torchscript` traces with PyTorch,
runs on any CPU, and keeps the Neuron graph's contract: one shape, one dtype, batch 1, and the UNet
in pairs of rows, one for each of two cores.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from inf2.graphs.graph import Graph

    Compiled = Callable[..., Tensor]

CORES = (0, 1)
"""NeuronCores of one Inferentia2 or Trainium device; the UNet runs on both."""


# Said, because the defaults change: the first two are those up to SDK 2.26, the last one is on from
# 2.27 (release notes of the Neuron Compiler). The parity gate takes it that a graph computes thus:
# matrix products of float32 in bfloat16, which the published speed rests on, and the sums within
# softmax and norms in float32, as in PyTorch's own bfloat16 kernels.
ARITHMETIC = (
    "--auto-cast=matmult",
    "--auto-cast-type=bf16",
    "--enable-mixed-precision-accumulation",
)


class CompilerKilled(Exception):
    """By the system, which had no memory left to give."""


class Neuronx:
    name = "neuronx"
    """As in settings and in the manifest."""
    products_in_bfloat16 = True
    """Whether a float32 graph rounds its matrix products."""

    def __init__(self, *, on_cpu: bool = False) -> None:
        # False where this host compiles for a device that it doesn't have.
        self.runs_here = not on_cpu
        # Read when torch_neuronx is imported.
        os.environ.setdefault("NEURON_FUSE_SOFTMAX", "1")

    def packages(self) -> dict[str, str]:
        """Versions that must be the same where the graphs are loaded, by package."""
        return {name: version(name) for name in ("neuronx-cc", "torch-neuronx")}

    def compile(self, graph: Graph, options: tuple[str, ...], workdir: Path, file: Path) -> None:
        """Writes the compiled graph to `file`. `workdir` is the compiler's own.

        Raises CompilerKilled where the host had too little memory, or whatever the compiler does.
        """
        import torch
        import torch_neuronx

        log = workdir / "neuronx-cc.log"
        arguments = [*options, *ARITHMETIC, "--logfile", str(log)]
        if not self.runs_here:
            arguments += ["--target", "inf2"]
        try:
            compiled = torch_neuronx.trace(
                graph.network,
                graph.inputs,
                compiler_workdir=str(workdir),
                compiler_args=arguments,
                # Not named at all on a Neuron host, where SDKs before cpu_backend work as well.
                **({} if self.runs_here else {"cpu_backend": True}),
            )
        except RuntimeError as error:
            if _tells_of_a_kill(str(error), log):
                raise CompilerKilled(str(error)) from error
            raise
        # The weights then go to a core's memory when the first call comes, not to core 0 first.
        torch_neuronx.async_load(compiled)
        torch_neuronx.lazy_load(compiled)
        torch.jit.save(compiled, str(file))

    def load(self, file: Path) -> Compiled:
        """The graph on one core, taking exactly what it was compiled for."""
        import torch_neuronx  # noqa: F401 - registers the classes that the file holds

        return _load_torchscript(file)

    def load_pair(self, file: Path) -> Compiled:
        """The graph on both cores: takes 2 rows, neither more nor fewer, gives 2."""
        import torch_neuronx

        pair: Compiled = torch_neuronx.DataParallel(
            self.load(file), list(CORES), set_dynamic_batching=False
        )
        return pair


def _tells_of_a_kill(said: str, log: Path) -> bool:
    """torch_neuronx says "neuronx-cc failed with <status>", which is -9 where the compiler itself
    was killed (aws-neuron-samples#10), 137 through a shell. Where it was a process of the
    compiler's, the status is 70 as for any error, and its log has "[F137] neuronx-cc was forcibly
    killed - This most commonly occurs due to insufficient system memory"."""
    if re.search(r"failed with (-9|137)\b", said) or "[F137]" in said:
        return True
    return log.is_file() and "[F137]" in log.read_text(errors="replace")


class TorchScript:
    name = "torchscript"
    runs_here = True
    products_in_bfloat16 = False

    def packages(self) -> dict[str, str]:
        return {}  # PyTorch reads TorchScript of any version before its own

    def compile(self, graph: Graph, options: tuple[str, ...], workdir: Path, file: Path) -> None:
        del options, workdir  # the Neuron compiler's
        import torch

        from inf2.exact_shapes import exact

        jit: Any = torch.jit
        with torch.no_grad(), _without_torchscript_warnings():
            # Not checked by a second trace: the parity gate checks more, against other code.
            traced = jit.trace(graph.network, graph.inputs, check_trace=False)
            jit.save(exact(traced, graph.inputs), str(file))

    def load(self, file: Path) -> Compiled:
        return _load_torchscript(file)

    def load_pair(self, file: Path) -> Compiled:
        return _TwoCores(self.load(file))


class _TwoCores:
    """torch_neuronx.DataParallel without dynamic batching, on one CPU."""

    def __init__(self, graph: Compiled) -> None:
        self._graph = graph

    def __call__(self, *inputs: Tensor) -> Tensor:
        import torch

        rows = {len(values) for values in inputs}
        if rows != {len(CORES)}:
            raise RuntimeError(f"{len(CORES)} cores take as many rows at a time, not {rows}")
        return torch.cat(
            # Copies, as to a core's own memory: a kernel may round by where its input lies.
            [self._graph(*(values[i : i + 1].clone() for values in inputs)) for i in CORES]
        )


Backend = Neuronx | TorchScript


def backend(name: str, *, on_cpu: bool = False) -> Backend:
    """`on_cpu`: compile for a Neuron device on a host without one.

    Raises ValueError for an unknown name.
    """
    if name == Neuronx.name:
        return Neuronx(on_cpu=on_cpu)
    if name == TorchScript.name and not on_cpu:
        return TorchScript()
    raise ValueError(f"compile backend {name!r}{' on a CPU' if on_cpu else ''}: no such thing")


def _load_torchscript(file: Path) -> Compiled:
    import torch

    jit: Any = torch.jit
    with _without_torchscript_warnings():
        graph: Compiled = jit.load(str(file))
    return graph


@contextmanager
def _without_torchscript_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # PyTorch 2.9 deprecated TorchScript; Neuron's graphs are TorchScript.
        warnings.filterwarnings("ignore", r"`torch\.jit\.", DeprecationWarning)
        # Python values are frozen into the trace, as they should be: there is but one shape.
        warnings.filterwarnings("ignore", "Converting a tensor to a Python|torch.tensor results")
        # Tracing reads every property of a module, the deprecated ones of transformers as well.
        warnings.simplefilter("ignore", FutureWarning)
        yield
