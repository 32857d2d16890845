"""What a request takes and costs, before and after."""

from __future__ import annotations

from generator_app.client import STANDARD, Mode, Variant

TOKENS = 77
"""What CLIP's text encoders read of a prompt, its begin and end included (config.json of each:
max_position_embeddings); the rest has no effect."""


def seconds(
    variant: Variant, mode: Mode, size: str, steps: int, images: int, strength: float = 1.0
) -> float:
    """By the mode's own figure, in proportion to the pixels."""
    scale = _pixels(size) / _pixels(variant.sizes[0])
    return mode.seconds_per_step * scale * max(1, round(steps * strength)) * images


def cost_usd(variant: Variant, seconds: float) -> float | None:
    """Of an instance's time; None where its price isn't known."""
    return None if variant.usd_per_hour is None else variant.usd_per_hour * seconds / 3600


def money(usd: float | None) -> str:
    return "price unknown" if usd is None else f"${usd:.6f}" if usd < 0.01 else f"${usd:.2f}"


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def label(variant: Variant) -> str:
    """For a list to choose from."""
    price = variant.usd_per_hour
    costs = "price unknown" if price is None else f"${price:.2f} an hour"
    standard = variant.modes[STANDARD]
    takes = duration(seconds(variant, standard, variant.sizes[0], standard.steps, 1))
    state = " · stopped" if variant.stopped else ""
    return f"{variant.id} · {variant.instance_type} · {costs} · about {takes} a picture{state}"


def _pixels(size: str) -> int:
    width, height = map(int, size.split("x"))
    return width * height
