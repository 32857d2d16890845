"""A variant's registration: what stacks write is read back, and every mistake is named."""

import json
from typing import Any

import pytest

from sd_contract.registration import Built, Registration
from sd_contract.size import Size
from tests.fakes.front_door import REGISTRATION


def parse(document: dict[str, Any]) -> Registration:
    return Registration.from_json(json.dumps(document))


def test_it_is_written_as_it_is_read() -> None:
    assert json.loads(parse(REGISTRATION).to_json()) == REGISTRATION


def test_a_registration_is_parsed() -> None:
    parsed = parse(REGISTRATION)
    assert parsed.sizes == (Size(512, 512), Size(768, 512))
    assert parsed.endpoint_name == "sd-g5"
    assert str(parsed.sizes[1]) == "768x512"
    assert parsed.built == Built("sha256:ba5e", {"pictures_db_min": 27.1})


def test_a_registration_older_than_built_is_parsed() -> None:
    document = {name: value for name, value in REGISTRATION.items() if name != "built"}
    assert parse(document).built is None


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        (None, None),
        ({"base_image_digest": None, "quality": None}, Built(None, None)),
        (
            {"base_image_digest": "sha256:ba5e", "quality": None, "new": 1},
            Built("sha256:ba5e", None),
        ),
        ({}, Built(None, None)),
    ],
)
def test_what_is_unknown_of_built_is_none(given: Any, parsed: Built | None) -> None:
    assert parse({**REGISTRATION, "built": given}).built == parsed


NO_PRICE = {"price_usd_per_hour": None, "price_date": None, "price_source": None}
TOGETHER = "^price_usd_per_hour, price_date, price_source must be null together"


def test_a_region_without_a_price_has_none() -> None:
    assert parse({**REGISTRATION, **NO_PRICE}).price_usd_per_hour is None


@pytest.mark.parametrize("key", NO_PRICE)
def test_a_price_comes_with_its_date_and_source_or_not_at_all(key: str) -> None:
    with pytest.raises(ValueError, match=TOGETHER):
        parse({**REGISTRATION, key: None})
    document = {**REGISTRATION, **NO_PRICE, key: REGISTRATION[key]}
    with pytest.raises(ValueError, match=TOGETHER):
        parse(document)


def test_keys_of_a_newer_endpoint_stack_are_ignored() -> None:
    assert parse({**REGISTRATION, "compiled_for": "x"}).name == "g5"


def test_a_registration_older_than_serve_has_an_endpoint() -> None:
    document = {name: value for name, value in REGISTRATION.items() if name != "serve"}
    assert parse(document).serve == ("real-time",)


# Which an older stack hasn't got.
LATER = ("built", "serve", "endpoint_config", "modes", "stopped")


@pytest.mark.parametrize("key", [key for key in REGISTRATION if key not in LATER])
def test_every_key_is_required(key: str) -> None:
    document = {name: value for name, value in REGISTRATION.items() if name != key}
    with pytest.raises(ValueError, match=f"^{key} is missing$"):
        parse(document)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("endpoint_name", ""),
        ("endpoint_name", 1),
        ("instance_count", 0),
        ("instance_count", True),
        ("max_images", 1.0),
        ("max_steps", "100"),
        ("price_usd_per_hour", -1),
        ("price_usd_per_hour", "1.4084"),
        ("price_source", ""),
        ("seconds_per_step", float("inf")),
        ("seconds_per_step", True),
        ("sizes", []),
        ("sizes", "512x512"),
        ("sizes", ["512"]),
        ("sizes", ["0x512"]),
        ("sizes", [512]),
        ("default", "true"),
        ("default", 1),
        ("serve", []),
        ("serve", ["bulk", "real-time"]),
        ("serve", ["realtime"]),
        ("built", []),
        ("built", {"base_image_digest": 1, "quality": None}),
        ("built", {"base_image_digest": None, "quality": "good"}),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{key} must be "):
        parse({**REGISTRATION, key: value})


def test_all_mistakes_of_a_registration_are_listed() -> None:
    with pytest.raises(ValueError, match=r"^sizes must be .*; max_images must be "):
        parse({**REGISTRATION, "sizes": [], "max_images": 0})
