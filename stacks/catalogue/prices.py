"""What an instance costs, from the dated file in stacks/catalogue."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "prices.json"
HOURS_PER_MONTH = 730.0
"""A twelfth of a year, as AWS's pricing pages count."""


class PriceFileError(ValueError):
    """The file isn't there, or isn't one of prices; says which and why."""


@dataclass(frozen=True)
class Price:
    """US dollars for an hour of one instance; `date` is when `source` was read."""

    usd_per_hour: float
    date: str
    source: str


@dataclass(frozen=True)
class Prices:
    """`regions`: region → instance type → price; `date` is that of all of them."""

    date: str
    regions: Mapping[str, Mapping[str, Price]]

    def find(self, region: str, instance_type: str) -> Price | None:
        return self.regions.get(region, {}).get(instance_type)


def read_prices(path: Path = FILE) -> Prices:
    try:
        document = json.loads(path.read_text())
        date = document["date"]
        regions = {
            region: {
                instance_type: Price(float(entry["usd_per_hour"]), date, entry["source"])
                for instance_type, entry in entries.items()
            }
            for region, entries in document["regions"].items()
        }
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise PriceFileError(f"{path} is not a price file: {error!r}") from error
    return Prices(date, regions)


def price_of(instance_type: str, region: str, override: float | None) -> Price | None:
    """None where neither the setting nor the file has one: a price is told, never needed."""
    prices = read_prices()
    if override is not None:
        return Price(override, prices.date, "the price_usd_per_hour setting")
    return prices.find(region, instance_type)
