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


def price_of(instance_type: str, region: str, override: float | None) -> Price | None:
    """None where neither the setting nor the file has one: a price is told, never needed."""
    prices = _file()
    if override is not None:
        return Price(override, prices["date"], "the price_usd_per_hour setting")
    entry = prices["regions"].get(region, {}).get(instance_type)
    return entry and Price(entry["usd_per_hour"], prices["date"], entry["source"])
