"""A picture's size, in the one order in which everybody writes it: width first."""

from __future__ import annotations

import re
from dataclasses import dataclass

VAE_SCALE = 8
"""Pixels per latent along each side, in every Stable Diffusion: other sides have no latent."""
PATTERN = r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})"
"""Of a size as text; its sides are multiples of VAE_SCALE besides."""


@dataclass(frozen=True)
class Size:
    """In pixels. Written "WIDTHxHEIGHT", as OpenAI's `size`."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """Raises ValueError unless `text` is "WIDTHxHEIGHT", both multiples of 8."""
        match = re.fullmatch(PATTERN, text)
        size = cls(int(match[1]), int(match[2])) if match else None
        if size is None or size.width % VAE_SCALE or size.height % VAE_SCALE:
            raise ValueError(f"{text!r} is not a size such as 512x512, in multiples of {VAE_SCALE}")
        return size

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"
