"""The UNet made faster, for the sizes that are served. It never ran on a GPU here but where
docs/speed.md names one.

All that is done at the load: a shape that was not seen then is run as it would be without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sd_contract.size import Size
from sd_serving.diffusers_parts import DiffusersParts

if TYPE_CHECKING:
    import torch

Replay = Callable[[], None]
Capture = Callable[[Callable[[], "torch.Tensor"]], tuple[Replay, "torch.Tensor"]]
"""Runs work on the device and remembers its kernels: `replay` runs them again on the same memory,
and the tensor is theirs, written anew by each."""
WARM = 3
"""Runs before a capture: libraries set up their workspaces in the first."""


def with_cuda_graphs(
    parts: DiffusersParts, sizes: Iterable[Size], capture: Capture | None = None
) -> None:
    """`parts.unet` as one launch a step: one graph a size and number of rows."""
    replayed = ReplayedUNet(parts.unet, capture or cuda_capture())
    parts.unet = replayed
    parts.keeps_deep_half = False
    run_all_shapes(parts, sizes)
    replayed.captures = False


def with_torch_compile(parts: DiffusersParts, sizes: Sequence[Size], **how: Any) -> None:
    """`how` goes to torch.compile."""
    import torch

    shapes = len(sizes) * len(rows_of(parts))
    # Past its limit of shapes it leaves the rest uncompiled, with a warning alone.
    known = torch._dynamo.config.cache_size_limit
    torch._dynamo.config.cache_size_limit = max(known, shapes)
    parts.unet.compile(dynamic=False, fullgraph=True, **how)
    parts.keeps_deep_half = False
    run_all_shapes(parts, sizes)


def run_all_shapes(parts: DiffusersParts, sizes: Iterable[Size]) -> None:
    """A step of each, the largest first: what comes later has room in its memory."""
    import torch

    width, tokens = parts.unet.config.cross_attention_dim, parts.tokenizer_max_length
    with torch.inference_mode():
        for size in sorted(sizes, key=lambda size: size.pixels, reverse=True):
            for rows in rows_of(parts):
                parts.denoise(
                    torch.zeros(
                        rows,
                        parts.latent_channels,
                        size.height // parts.vae_scale,
                        size.width // parts.vae_scale,
                        device=parts.device,
                    ),
                    0,
                    torch.zeros(rows, tokens, width, device=parts.device),
                )


def rows_of(parts: DiffusersParts) -> list[int]:
    """Of a call of the UNet, guided or not, the most first."""
    pictures = range(1, (parts.max_pictures_per_pass or 1) + 1)
    return sorted({rows for n in pictures for rows in (n, 2 * n)}, reverse=True)


def cuda_capture() -> Capture:
    """Graphs that share their memory, which is right for those that run one after another."""
    import torch

    pool = torch.cuda.graph_pool_handle()

    def capture(work: Callable[[], torch.Tensor]) -> tuple[Replay, torch.Tensor]:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            output = work()
        return graph.replay, output

    return capture


@dataclass(frozen=True)
class _Graph:
    inputs: tuple[torch.Tensor, ...]
    """The graph's own, which nobody else writes to."""
    replay: Replay
    output: torch.Tensor

    def __call__(self, *given: torch.Tensor) -> torch.Tensor:
        for own, value in zip(self.inputs, given, strict=True):
            own.copy_(value)
        self.replay()
        # The next replay writes to it.
        return self.output.clone()


class ReplayedUNet:
    def __init__(self, unet: Any, capture: Capture) -> None:
        self._unet = unet
        self._capture = capture
        self._graphs: dict[tuple[int, ...], _Graph] = {}
        self.config = unet.config
        self.captures = True
        """Whether a shape that comes for the first time gets a graph."""

    def __call__(
        self,
        sample: torch.Tensor,
        t: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        return_dict: bool = False,  # noqa: ARG002 - what callers of a UNet say
    ) -> tuple[torch.Tensor]:
        """[B, C, h, w], [1], [B, tokens, D] → [B, C, h, w]"""
        given, shape = (sample, t, encoder_hidden_states), tuple(sample.shape)
        if shape not in self._graphs:
            if not self.captures:
                return (self._eager(*given),)
            self._graphs[shape] = self._captured(given)
        return (self._graphs[shape](*given),)

    def _captured(self, given: Sequence[torch.Tensor]) -> _Graph:
        own = tuple(tensor.clone() for tensor in given)
        replay, output = self._capture(lambda: self._eager(*own))
        return _Graph(own, replay, output)

    def _eager(self, sample: torch.Tensor, t: torch.Tensor, embeds: torch.Tensor) -> torch.Tensor:
        noise: torch.Tensor = self._unet(
            sample, t, encoder_hidden_states=embeds, return_dict=False
        )[0]
        return noise
