"""What edits add to generations, as diffusers does it: StableDiffusionImg2ImgPipeline (the last
steps only, from the picture under as much noise), and with a mask StableDiffusionInpaintPipeline
for a UNet that knows of none (after each step what is kept is the picture again, under the noise of
that step).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sd_contract.invocation import Edit, Invocation
from sd_contract.size import Size
from sd_serving.sampler import Sampler
from sd_serving.source import Source, read_source

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Task:
    """A request, and what is in its files."""

    request: Invocation
    source: Source | None


def prepare(request: Invocation) -> Task:
    """Raises Refused for files that can't be edited."""
    source = None if request.edit is None else read_source(request.edit, request.size)
    return Task(request, source)


def blank_edit(size: Size) -> Task:
    """One that takes the picture through the VAE, and a step without guidance."""
    import numpy as np

    request = Invocation("", "", 1, size, 1, 1.0, 0, edit=Edit(b"", strength=1.0))
    return Task(request, Source(np.zeros((size.height, size.width, 3), np.uint8), None, ()))


@dataclass(frozen=True)
class Start:
    """Of one picture to edit."""

    latents: torch.Tensor
    """[C, h, w]"""
    redrawn: torch.Tensor
    """bool [1, h, w]"""


class Starts:
    """Those of pictures that are denoised together, with the noise of each, [B, C, h, w]."""

    def __init__(self, starts: Sequence[Start], noise: torch.Tensor, sampler: Sampler) -> None:
        import torch

        self._latents = torch.stack([start.latents for start in starts])
        self._redrawn = torch.stack([start.redrawn for start in starts])
        self._masked = not bool(self._redrawn.all())
        self._noise = noise
        self._sampler = sampler

    def at(self, step: int) -> torch.Tensor:
        """Under the noise that the step of that number takes away; after the last, without."""
        if step == len(self._sampler.timesteps):
            return self._latents
        return self._sampler.noisy(self._latents, self._noise, step)

    def kept(self, latents: torch.Tensor, step: int) -> torch.Tensor:
        """`latents` where they are redrawn, the start everywhere else, before that step."""
        import torch

        if not self._masked:
            return latents
        return torch.where(self._redrawn, latents, self.at(step))


def pixel_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """[H, W, 3] → [3, H, W] in [-1, 1]"""
    import torch

    return torch.from_numpy(pixels).permute(2, 0, 1) / 255 * 2 - 1


def redrawn_latents(source: Source, vae_scale: int) -> torch.Tensor:
    """bool [1, h, w]: those that any redrawn pixel is of, or a rest of the old picture would show
    at the mask's edge. The pipeline of diffusers looks at one pixel of each."""
    import torch

    height, width, _ = source.pixels.shape
    pixels = torch.ones(1, height, width)
    if source.redrawn is not None:
        pixels = torch.from_numpy(source.redrawn).float()[None]
    return torch.nn.functional.max_pool2d(pixels, vae_scale).bool()


def with_kept_pixels(drawn: torch.Tensor, source: Source | None) -> torch.Tensor:
    """uint8 [H, W, 3], as `source` where it isn't redrawn: no VAE gives back what it was given."""
    import torch

    if source is None or source.redrawn is None:
        return drawn
    redrawn, pixels = torch.from_numpy(source.redrawn), torch.from_numpy(source.pixels)
    return torch.where(redrawn[..., None], drawn, pixels)
