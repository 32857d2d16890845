"""The price file: what is in it, and how it is rewritten or left alone."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from botocore.exceptions import NoCredentialsError

from benchmark.cli import main
from benchmark.figures.prices import PricingClient
from stacks.catalogue.prices import read_prices
from tests.fakes.benchmark import refused


def product(
    instance_type: str, usage: str, usd: str, sku: str = "SKU1", region: str = "us-east-1"
) -> dict[str, Any]:
    """As the Price List API gives it, cut down to what matters."""
    dimension = {"pricePerUnit": {"USD": usd}, "unit": "Hrs"}
    return {
        "product": {
            "sku": sku,
            "attributes": {
                "usagetype": f"{usage}:{instance_type}",
                "instanceName": instance_type,
                "regionCode": region,
            },
        },
        "terms": {"OnDemand": {"offer": {"priceDimensions": {"d": dimension}}}},
    }


class FakePricing:
    """A product a page; filters as TERM_MATCH does. `error`: what it raises instead."""

    def __init__(self, products: Sequence[dict[str, Any]], error: Exception | None = None) -> None:
        self._products, self._error = products, error

    def get_paginator(self, operation: str) -> Self:
        assert operation == "get_products"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        if self._error:
            raise self._error
        assert request["ServiceCode"] == "AmazonSageMaker"
        wanted = {f["Field"]: f["Value"] for f in request["Filters"]}
        for product in self._products:
            if wanted.items() <= product["product"]["attributes"].items():
                yield {"PriceList": [json.dumps(product)]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "prices.json"
    prices = {"ml.g5.xlarge": 1.4084, "ml.inf2.xlarge": 0.99}
    entries = {name: {"usd_per_hour": usd, "source": "old"} for name, usd in prices.items()}
    path.write_text(json.dumps({"date": "2026-01-01", "regions": {"us-east-1": entries}}))
    return path


def refresh(path: Path, client: PricingClient, *more: str) -> int:
    return main(["prices", "--refresh", "--file", str(path), *more], lambda: client)


PRODUCTS = [
    product("ml.g5.xlarge", "USE1-Train", "1.90", "TRAIN"),
    product("ml.g5.xlarge", "USE1-Notebk", "1.41", "NOTEBOOK"),
    product("ml.g5.xlarge", "USE1-Host", "1.5000000000", "HOST5"),
    product("ml.inf2.xlarge", "USE1-AsyncInf", "0.70", "ASYNC"),
    product("ml.inf2.xlarge", "USE1-Host", "0.9900000000", "HOST2"),
    product("ml.g5.xlarge", "EU-Host", "1.57", "EU5", "eu-west-1"),
]
TWIN = product("ml.g5.xlarge", "Host", "1.6", "TWIN")


def test_the_file_has_the_study_s_prices_with_date_and_source() -> None:
    prices = read_prices()
    usd = {name: price.usd_per_hour for name, price in prices.regions["us-east-1"].items()}
    assert usd.items() >= {"ml.g5.xlarge": 1.4084, "ml.inf2.xlarge": 0.99}.items()
    assert all(p.source and p.date for entries in prices.regions.values() for p in entries.values())


def test_refresh_takes_hosting_prices_and_says_what_changed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refresh(path, FakePricing(PRODUCTS)) == 0
    new = read_prices(path)
    price = new.find("us-east-1", "ml.g5.xlarge")
    assert price is not None
    assert price.usd_per_hour == 1.5
    assert "SKU HOST5" in price.source
    assert new.date > "2026-01-01"
    assert json.loads(path.read_text())["currency"] == "USD"
    out = capsys.readouterr().out
    assert "us-east-1 ml.g5.xlarge: 1.4084 → 1.5 USD/h" in out
    assert "inf2.xlarge:" not in out


def test_a_new_region_gets_the_types_that_it_has(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refresh(path, FakePricing(PRODUCTS), "--region", "eu-west-1") == 0
    prices = read_prices(path).regions["eu-west-1"]
    assert {name: price.usd_per_hour for name, price in prices.items()} == {"ml.g5.xlarge": 1.57}
    assert "eu-west-1 ml.g5.xlarge: new, 1.57 USD/h" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("client", "region", "said"),
    [
        (FakePricing([], NoCredentialsError()), "us-east-1", "Unable to locate credentials"),
        (FakePricing(PRODUCTS), "eu-west-9", "eu-west-9: no price of ml.g5.xlarge, ml.inf2.xlarge"),
        (FakePricing(PRODUCTS[:3]), "us-east-1", "ml.inf2.xlarge in us-east-1: expected one price"),
        (FakePricing([*PRODUCTS, TWIN]), "us-east-1", "HOST5: 1.5, TWIN: 1.6"),
    ],
)
def test_without_an_answer_the_dated_file_stays(
    client: PricingClient,
    region: str,
    said: str,
    path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = path.read_bytes()
    assert refresh(path, client, "--region", region) == 1
    assert path.read_bytes() == before
    error = capsys.readouterr().err
    assert said in error
    assert "of 2026-01-01 stays as it is" in error


def test_a_broken_file_is_said_plainly(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text('{"date": "2026-01-01"}')
    assert "is not a price file" in refused(capsys, "prices", "--file", str(path))
