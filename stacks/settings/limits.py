"""The API's ranges, as Lambda and containers are told them."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class PublicLimits:
    """Both ends included; the prompts' are lengths in characters."""

    prompt: tuple[int, int] = (1, 1000)
    negative_prompt: tuple[int, int] = (0, 1000)
    n: tuple[int, int] = (1, 4)
    num_inference_steps: tuple[int, int] = (1, 100)
    guidance_scale: tuple[float, float] = (1.0, 20.0)
    seed: tuple[int, int] = (0, 2**32 - 1)

    def to_json(self) -> str:
        ranges = {name: {"min": low, "max": high} for name, (low, high) in vars(self).items()}
        return json.dumps(ranges, separators=(",", ":"))


LIMITS = PublicLimits()
