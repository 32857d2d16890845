"""Which seed draws which image: any image of a request can be made again alone."""

import secrets

SEEDS = 2**32
"""Seeds are 0 … SEEDS-1."""


def draw_seed() -> int:
    return secrets.randbelow(SEEDS)


def seeds_of(first: int, count: int) -> tuple[int, ...]:
    """The seeds of a request's images, counting up from the first and around at the end."""
    return tuple((first + i) % SEEDS for i in range(count))
