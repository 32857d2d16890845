"""What the batch functions are told of a variant: what its stack writes is read back."""

import json
from typing import Any

import pytest

from sd_contract.fleet import BulkFleet, Fleet

BULK: dict[str, Any] = {
    "image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/sd:1",
    "role_arn": "arn:aws:iam::123456789012:role/bulk",
    "instance_type": "ml.g5.xlarge",
    "instance_count": 2,
    "spot": True,
    "max_seconds": 86400,
    "volume_gb": 50,
    "model_uri": "s3://models/weights/9f2c/",
    "environment": {"SD_VARIANT": "g5"},
    "price_usd_per_hour": None,
    "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/1",
    "subnets": ["subnet-1", "subnet-2"],
    "security_groups": [],
}
FLEET: dict[str, Any] = {
    "serve": ["real-time", "async", "bulk"],
    "async_endpoint_name": "sd-g5-async",
    "bulk": BULK,
}


def parse(document: dict[str, Any]) -> Fleet:
    return Fleet.from_json(json.dumps(document))


@pytest.mark.parametrize(
    "document", [FLEET, {"serve": ["real-time"], "async_endpoint_name": None, "bulk": None}]
)
def test_it_is_written_as_it_is_read(document: dict[str, Any]) -> None:
    assert json.loads(parse(document).to_json()) == document


def test_a_fleet_is_parsed() -> None:
    parsed = parse({**FLEET, "newer": 1, "bulk": {**BULK, "newer": 1}})
    bulk = BulkFleet(**{**BULK, "subnets": ("subnet-1", "subnet-2"), "security_groups": ()})
    assert parsed == Fleet(("real-time", "async", "bulk"), "sd-g5-async", bulk)


def test_one_that_an_earlier_deploy_wrote_has_no_network() -> None:
    """The functions are deployed before the variants write theirs anew."""
    earlier = {name: BULK[name] for name in BULK if name not in ("subnets", "security_groups")}
    bulk = parse({**FLEET, "bulk": earlier}).bulk
    assert bulk
    assert (bulk.subnets, bulk.security_groups) == ((), ())


@pytest.mark.parametrize("key", FLEET)
def test_every_key_is_required(key: str) -> None:
    document = {name: value for name, value in FLEET.items() if name != key}
    with pytest.raises(ValueError, match=f"^{key} is missing$"):
        parse(document)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("serve", []),
        ("serve", ["bulk", "async"]),
        ("serve", ["batch"]),
        ("serve", "bulk"),
        ("async_endpoint_name", ""),
        ("bulk", {}),
        ("bulk", [BULK]),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{key} must be "):
        parse({**FLEET, key: value})


def test_all_mistakes_are_listed_those_of_the_fleet_by_their_place() -> None:
    bulk = {**BULK, "spot": "yes", "environment": {"SD_VARIANT": 1}}
    del bulk["role_arn"]
    wanted = r"^serve must be .*; bulk\.role_arn is missing; bulk\.spot must be .*; "
    with pytest.raises(ValueError, match=wanted + r"bulk\.environment must be an object"):
        parse({**FLEET, "serve": [], "bulk": bulk})
