"""The dated price file: reading it, and rewriting it from the AWS Price List API."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmark.errors import BenchmarkError, PriceRefreshFailed

PRICE_FILE = Path(__file__).parent.parent / "stacks" / "catalogue" / "prices.json"


@dataclass(frozen=True)
class Price:
    usd_per_hour: float
    date: str
    source: str
    region: str


@dataclass(frozen=True)
class Prices:
    """`regions`: region → instance type → price."""

    date: str
    regions: Mapping[str, Mapping[str, Price]]

    def find(self, region: str, instance_type: str) -> Price | None:
        return self.regions.get(region, {}).get(instance_type)


class PricingClient(Protocol):
    """The part of boto3's `pricing` client that is used."""

    def get_products(self, **request: Any) -> dict[str, Any]: ...


def read_prices(path: Path = PRICE_FILE) -> Prices:
    try:
        document = json.loads(path.read_text())
        date = document["date"]
        regions = {
            region: {
                instance_type: Price(float(entry["usd_per_hour"]), date, entry["source"], region)
                for instance_type, entry in entries.items()
            }
            for region, entries in document["regions"].items()
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(f"{path} is not a price file: {error!r}") from error
    return Prices(date, regions)


def refreshed(
    old: Prices, client: PricingClient, today: str, extra_regions: Iterable[str] = ()
) -> Prices:
    """Every price of `old`, asked again; `extra_regions` get those of all its instance types that
    they have.

    All or nothing, so that one date stands for the whole file.

    Raises:
        PriceRefreshFailed: a price of `old` is missing, one is ambiguous, or a region has none.
    """
    regions = {
        region: {name: _look_up(client, region, name, today) for name in sorted(entries)}
        for region, entries in old.regions.items()
    }
    every = sorted({name for entries in old.regions.values() for name in entries})
    for region in extra_regions:
        if region not in regions:
            found = {name: _find(client, region, name, today) for name in every}
            regions[region] = {name: price for name, price in found.items() if price}
            if not regions[region]:
                raise PriceRefreshFailed(f"{region}: no price of {', '.join(every)}")
    return Prices(today, regions)


def _look_up(client: PricingClient, region: str, instance_type: str, today: str) -> Price:
    price = _find(client, region, instance_type, today)
    if price is None:
        raise PriceRefreshFailed(f"{instance_type} in {region}: expected one price, got no price")
    return price


def _find(client: PricingClient, region: str, instance_type: str, today: str) -> Price | None:
    """None where the region hasn't the type."""
    request: dict[str, Any] = {
        "ServiceCode": "AmazonSageMaker",
        "Filters": [
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region},
            {"Type": "TERM_MATCH", "Field": "instanceName", "Value": instance_type},
        ],
    }
    found: dict[str, float] = {}
    while True:
        answer = client.get_products(**request)
        for text in answer["PriceList"]:
            product = json.loads(text)
            if _is_hosting(product, instance_type):
                found |= _hourly_prices(product)
        if not answer.get("NextToken"):
            break
        request["NextToken"] = answer["NextToken"]
    if not found:
        return None
    if len(set(found.values())) != 1:
        listed = ", ".join(f"{sku}: {usd}" for sku, usd in sorted(found.items()))
        raise PriceRefreshFailed(f"{instance_type} in {region}: expected one price, got {listed}")
    sku, usd_per_hour = next(iter(found.items()))
    source = f"AWS Price List API, AmazonSageMaker, SKU {sku}, read {today}"
    return Price(usd_per_hour, today, source, region)


def _is_hosting(product: Mapping[str, Any], instance_type: str) -> bool:
    """Real-time hosting; the same instance also has training, notebook and other products.

    Usage types read `USE1-Host:ml.g5.xlarge`, in some regions without the prefix.
    """
    usage_type = str(product["product"]["attributes"].get("usagetype", ""))
    return re.fullmatch(rf"(?:\w+-)?Host:{re.escape(instance_type)}", usage_type) is not None


def _hourly_prices(product: Mapping[str, Any]) -> dict[str, float]:
    """By SKU; terms that cost nothing are not prices."""
    prices = {
        float(dimension["pricePerUnit"].get("USD", 0))
        for offer in product["terms"].get("OnDemand", {}).values()
        for dimension in offer["priceDimensions"].values()
    }
    sku = str(product["product"]["sku"])
    return {
        sku if i == 0 else f"{sku} ({i + 1})": usd for i, usd in enumerate(sorted(prices - {0.0}))
    }


def changes(old: Prices, new: Prices) -> list[str]:
    """One line for each price that is new or differs."""
    lines = []
    for region, entries in new.regions.items():
        for instance_type, price in entries.items():
            before = old.find(region, instance_type)
            if before is None:
                lines.append(f"{region} {instance_type}: new, {price.usd_per_hour} USD/h")
            elif before.usd_per_hour != price.usd_per_hour:
                lines.append(
                    f"{region} {instance_type}: {before.usd_per_hour} → {price.usd_per_hour} USD/h"
                )
    return lines


def write_prices(prices: Prices, path: Path = PRICE_FILE) -> None:
    document = {
        "date": prices.date,
        "currency": "USD",
        "regions": {
            region: {
                name: {"usd_per_hour": price.usd_per_hour, "source": price.source}
                for name, price in sorted(entries.items())
            }
            for region, entries in sorted(prices.regions.items())
        },
    }
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(document, indent=2) + "\n")
    draft.replace(path)
