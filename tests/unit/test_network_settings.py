"""`sd.network`: what may be asked for, and what contradicts what."""

from typing import Any

import pytest

from tests.unit.test_settings import loaded, said

TWO = "subnet-0123456789abcdef0,subnet-0123456789abcdef1"
GROUP = "sg-0123456789abcdef0"
GIVEN = {"network.vpc": "given", "network.subnets": TWO, "network.security_groups": GROUP}
OWN = {"network.vpc": "own"}


def test_models_are_in_no_vpc_unless_asked() -> None:
    assert loaded().network.vpc == "none"


def test_a_network_is_given_by_its_subnets_and_security_groups() -> None:
    network = loaded(GIVEN).network
    assert network.subnets == tuple(TWO.split(","))
    assert network.security_groups == (GROUP,)


def test_an_own_one_takes_zones_of_the_region() -> None:
    zones = {**OWN, "network.zones": "us-east-1b,us-east-1d"}
    assert loaded(zones).network.zones == ("us-east-1b", "us-east-1d")


def of(count: int, kind: str) -> str:
    return ",".join(f"{kind}-{number:017x}" for number in range(count))


@pytest.mark.parametrize(
    ("name", "value", "beside", "words"),
    [
        ("vpc", "mine", {}, "none | own | given"),
        ("vpc", "vpc-0123456789abcdef0", {}, "none | own | given"),
        ("subnets", "subnet-0123", GIVEN, "a subnet's id"),
        ("subnets", "subnet-0123456789abcdef0", GIVEN, "2 to 16 of them"),
        ("subnets", of(17, "subnet"), GIVEN, "2 to 16 of them"),
        ("subnets", "", GIVEN, "2 to 16 of them"),
        ("subnets", TWO, OWN, 'empty where sd.network.vpc isn\'t "given"'),
        ("security_groups", "default", GIVEN, "a security group's id"),
        ("security_groups", of(6, "sg"), GIVEN, "1 to 5 of them"),
        ("security_groups", "", GIVEN, "1 to 5 of them"),
        ("security_groups", GROUP, {}, 'empty where sd.network.vpc isn\'t "given"'),
        ("zones", "us-east-1", OWN, "an availability zone's name"),
        ("zones", "us-east-1a", OWN, "2 to 6 of them"),
        ("zones", "us-east-1a,eu-west-1a", OWN, "zones of the region, us-east-1"),
        ("zones", "us-east-1a,us-east-1b", GIVEN, 'empty where sd.network.vpc isn\'t "own"'),
        ("interface_endpoints", "s3", OWN, "sagemaker.runtime"),
        ("interface_endpoints", "kms", {}, 'empty where sd.network.vpc isn\'t "own"'),
        ("nat", "true", {}, "no such setting"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(
    name: str, value: str, beside: dict[str, Any], words: str
) -> None:
    others = {other: right for other, right in beside.items() if other != f"network.{name}"}
    assert words in said(f"network.{name}", value, others)
