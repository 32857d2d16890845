"""`benchmark prices`: the dated price file, shown or rewritten from the AWS Price List API."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from benchmark.errors import BenchmarkError
from benchmark.options import PricesOptions
from stacks.catalogue.prices import Price, Prices, read_prices


class PricingClient(Protocol):
    """The part of boto3's `pricing` client that is used."""

    def get_paginator(self, operation: str) -> Any: ...


def pricing_client() -> PricingClient:
    import boto3
    from botocore.config import Config

    # The Price List API answers in few regions only, whichever region the prices are of.
    config = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})
    client: PricingClient = boto3.client("pricing", region_name="us-east-1", config=config)
    return client


def prices(options: PricesOptions, make_client: Callable[[], PricingClient]) -> str:
    """What to print. Raises BenchmarkError, the file untouched, if AWS gave no prices."""
    old = read_prices(options.file)
    if not options.refresh:
        listed = [
            f"{region}  {name:<16} {price.usd_per_hour:>8} USD/h  {price.source}"
            for region, entries in old.regions.items()
            for name, price in entries.items()
        ]
        return "\n".join([*listed, f"as of {old.date}; --refresh asks the AWS Price List API"])
    from botocore.exceptions import BotoCoreError, ClientError

    stays = f"{options.file} of {old.date} stays as it is"
    try:
        today = datetime.now(UTC).date().isoformat()
        new = refreshed(old, make_client(), today, options.region)
    except (BotoCoreError, ClientError) as error:
        raise BenchmarkError(f"the AWS Price List API gave no prices ({error}); {stays}") from error
    except BenchmarkError as error:
        raise BenchmarkError(f"{error}; {stays}") from error
    write_prices(new, options.file)
    said = changes(old, new) or ["no price changed"]
    return "\n".join([*said, f"{options.file} is of {new.date} now"])


def refreshed(
    old: Prices, client: PricingClient, today: str, extra_regions: Iterable[str] = ()
) -> Prices:
    """Every price of `old`, asked again; `extra_regions` get those of all its instance types that
    they have. All or nothing, so that one date stands for the whole file.

    Raises BenchmarkError if a price of `old` is missing, one is ambiguous, or a region has none.
    """
    every = sorted({name for entries in old.regions.values() for name in entries})
    regions = {}
    for region in dict.fromkeys([*old.regions, *extra_regions]):
        known = old.regions.get(region, {})
        asked = {name: _find(client, region, name, today) for name in sorted(known or every)}
        found = {name: price for name, price in asked.items() if price}
        for name in known:
            if name not in found:
                raise BenchmarkError(f"{name} in {region}: expected one price, got no price")
        if not found:
            raise BenchmarkError(f"{region}: no price of {', '.join(every)}")
        regions[region] = found
    return Prices(today, regions)


def _find(client: PricingClient, region: str, instance_type: str, today: str) -> Price | None:
    """None where the region hasn't the type."""
    pages = client.get_paginator("get_products").paginate(
        ServiceCode="AmazonSageMaker",
        Filters=[
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region},
            {"Type": "TERM_MATCH", "Field": "instanceName", "Value": instance_type},
        ],
    )
    products = [json.loads(product) for page in pages for product in page["PriceList"]]
    found = sorted(
        (str(product["product"]["sku"]), usd)
        for product in products
        if _is_hosting(product, instance_type)
        for usd in _hourly_prices(product)
    )
    if not found:
        return None
    if len({usd for _, usd in found}) != 1:
        listed = ", ".join(f"{sku}: {usd}" for sku, usd in found)
        raise BenchmarkError(f"{instance_type} in {region}: expected one price, got {listed}")
    sku, usd_per_hour = found[0]
    source = f"AWS Price List API, AmazonSageMaker, SKU {sku}, read {today}"
    return Price(usd_per_hour, today, source)


def _is_hosting(product: Mapping[str, Any], instance_type: str) -> bool:
    """Real-time hosting; the same instance also has training, notebook and other products.

    Usage types read `USE1-Host:ml.g5.xlarge`, in some regions without the prefix.
    """
    usage_type = str(product["product"]["attributes"].get("usagetype", ""))
    return re.fullmatch(rf"(?:\w+-)?Host:{re.escape(instance_type)}", usage_type) is not None


def _hourly_prices(product: Mapping[str, Any]) -> set[float]:
    """Terms that cost nothing are not prices."""
    prices = {
        float(dimension["pricePerUnit"].get("USD", 0))
        for offer in product["terms"].get("OnDemand", {}).values()
        for dimension in offer["priceDimensions"].values()
    }
    return prices - {0.0}


def changes(old: Prices, new: Prices) -> list[str]:
    """One line for each price that is new or differs."""
    lines = []
    for region, entries in new.regions.items():
        for instance_type, price in entries.items():
            before, name = old.find(region, instance_type), f"{region} {instance_type}"
            if before is None:
                lines.append(f"{name}: new, {price.usd_per_hour} USD/h")
            elif before.usd_per_hour != price.usd_per_hour:
                lines.append(f"{name}: {before.usd_per_hour} → {price.usd_per_hour} USD/h")
    return lines


def write_prices(prices: Prices, path: Path) -> None:
    """As `read_prices` takes it; in one step, so that a reader never meets half a file."""
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
