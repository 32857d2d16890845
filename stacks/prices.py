"""What an instance costs, from the dated file in stacks/data."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "data" / "prices.json"


@dataclass(frozen=True)
class Price:
    """US dollars for an hour of one instance; `date` is when `source` was read."""

    usd_per_hour: float
    date: str
    source: str


@cache
def _file() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text())
    return loaded


def price_of(instance_type: str, region: str, override: float | None) -> Price | str:
    """The price, or a sentence saying what to do where the file has none."""
    prices = _file()
    if override is not None:
        return Price(override, prices["date"], "the price_usd_per_hour setting")
    known = prices["regions"].get(region, {})
    if instance_type not in known:
        return (
            f"US dollars an hour, since stacks/data/prices.json has no {instance_type} in {region} "
            f"(it has {', '.join(sorted(known)) or 'nothing there'}); "
            "`python -m benchmark prices --refresh` updates it"
        )
    entry = known[instance_type]
    return Price(entry["usd_per_hour"], prices["date"], entry["source"])
