"""What the engine asks of a loaded model, whatever runs its networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from sd_contract.sampling import Sampling
from sd_serving.deep_cache import DeepHalf
from sd_serving.sampler import Sampler

if TYPE_CHECKING:
    import torch


class Parts(Protocol):
    """A loaded model as a variant's `load` returns it. Tensors are batch-first, on `device`;
    float inputs come as float32 and each method casts to what its network wants."""

    @property
    def latent_channels(self) -> int: ...
    @property
    def vae_scale(self) -> int:
        """Pixels per latent, along each side."""

    @property
    def scaling_factor(self) -> float:
        """The engine divides latents by it before `decode`."""

    @property
    def tokenizer_max_length(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dtype_name(self) -> str:
        """For people: what the networks compute in."""

    @property
    def max_pictures_per_pass(self) -> int | None:
        """Pictures (not guidance rows) and prompts that may share a call; None: no limit.
        1 makes each picture independent, to the bit, of what it was asked together with."""

    def count_tokens(self, prompt: str) -> int:
        """Tokens of the whole prompt with its two markers; more than tokenizer_max_length means
        that the end of the prompt has no effect."""

    def cut_off(self, prompt: str) -> str:
        """That end, in the vocabulary's spelling."""

    def encode(self, prompts: list[str]) -> torch.Tensor:
        """[B] → [B, tokenizer_max_length, D]"""

    @property
    def keeps_deep_half(self) -> bool:
        """Whether `denoise` takes a DeepHalf."""

    def denoise(
        self, latents: torch.Tensor, t: int, embeds: torch.Tensor, deep: DeepHalf | None = None
    ) -> torch.Tensor:
        """[B, C, h, w], [B, tokens, D] → predicted noise [B, C, h, w]. B counts guidance rows;
        with guidance they are [all unconditional, all conditional]."""

    def encode_pictures(self, pixels: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] in [-1, 1] → [B, C, h, w], the most likely latents, which the engine
        multiplies by scaling_factor"""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """[B, C, h, w], already divided by scaling_factor → [B, 3, H, W] in [-1, 1]"""

    def make_sampler(self, sampling: Sampling) -> Sampler:
        """A fresh one, on the noise that the model was trained with."""

    def describe(self) -> Mapping[str, Any]:
        """More for the answer's `engine` object, JSON values."""
