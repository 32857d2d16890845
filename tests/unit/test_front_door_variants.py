"""The registry: what is registered can be asked for, what is malformed harms nothing else."""

import json
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from front_door.errors import ModelNotFound, RegistryError
from tests.fakes.front_door import FakeParameterStore, World, client_error, registration


def world(**documents: dict[str, Any] | str) -> World:
    """Registrations by name: a dict of changes, or text that stands as it is."""
    held = {
        name: given if isinstance(given, str) else registration(name, **given)
        for name, given in documents.items()
    }
    return World(ssm=FakeParameterStore(held))


def test_every_page_is_read() -> None:
    here = world(a={}, b={}, c={}, d={}, e={})
    here.ssm.page_size = 2
    entries, _ = here.registry.listing()
    assert [entry.variant.name for entry in entries] == ["a", "b", "c", "d", "e"]
    assert entries[0].created == 1795377600


@pytest.mark.parametrize("name", ["sdxl", "", "G5", "x" * 5000])
def test_an_unknown_name_is_told_what_there_is(name: str) -> None:
    with pytest.raises(ModelNotFound, match=r"\(deployed: g5, inf2\)$") as caught:
        world(inf2={}, g5={}).registry.resolve(name)
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("documents", "default"),
    [
        ({"g5": {}, "inf2": {}}, "g5"),
        ({"g5": {}, "inf2": {"default": True}}, "g5"),
        ({"djl": {}, "inf2": {"default": True}}, "inf2"),
    ],
)
def test_the_default(documents: dict[str, Any], default: str) -> None:
    registry = world(**documents).registry
    assert registry.resolve(None).name == default
    assert registry.listing()[1] == default


@pytest.mark.parametrize(
    ("documents", "deployed"),
    [
        ({}, "none"),
        ({"inf2": {}}, "inf2"),
        ({"djl": {"default": True}, "inf2": {"default": True}}, "djl, inf2"),
    ],
)
def test_no_default(documents: dict[str, Any], deployed: str) -> None:
    registry = world(**documents).registry
    with pytest.raises(ModelNotFound) as caught:
        registry.resolve(None)
    assert str(caught.value) == (
        f"model: the default, 'g5', is not deployed: name one that is (deployed: {deployed})"
    )
    assert registry.listing()[1] is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        (json.dumps(registration("other")), "name is 'other', the parameter's is 'djl'"),
        (json.dumps(registration("djl", sizes=[])), "sizes must be a list of sizes"),
    ],
)
def test_a_malformed_registration_harms_only_its_own_variant(text: str, reason: str) -> None:
    here = world(g5={}, djl=text, inf2={})
    assert [entry.variant.name for entry in here.registry.listing()[0]] == ["g5", "inf2"]
    assert here.registry.resolve("inf2").name == "inf2"
    [logged] = here.logged
    assert (logged["event"], logged["variant"]) == ("malformed_registration", "djl")
    assert logged["reason"].startswith(reason)
    with pytest.raises(RegistryError, match="registration of djl: "):
        here.registry.resolve("djl")


def test_no_other_variant_stands_in_for_a_malformed_default() -> None:
    registry = world(g5="{", inf2={"default": True}).registry
    with pytest.raises(RegistryError, match="registration of g5: is not JSON"):
        registry.resolve(None)
    assert registry.listing()[1] is None


def test_registrations_are_kept_for_the_ttl_but_not_by_a_clock_set_back() -> None:
    here = world(g5={})
    for after_s, calls in ((0, 1), (59.9, 1), (0.2, 2), (59, 2), (-1000, 3)):
        here.clock.now += after_s
        here.registry.resolve("g5")
        assert here.ssm.calls == calls


def test_a_variant_just_destroyed_or_just_deployed_is_seen_before_the_ttl_ends() -> None:
    here = world(g5={}, djl={})
    assert len(here.registry.listing()[0]) == 2
    djl = here.ssm.documents.pop("djl")
    here.clock.now += 3
    assert [entry.variant.name for entry in here.registry.listing()[0]] == ["g5"]
    here.ssm.documents["djl"] = djl
    here.clock.now += 3
    assert here.registry.resolve("djl").name == "djl"


def test_wrong_names_don_t_become_a_stream_of_calls() -> None:
    here = world(g5={})
    for _ in range(100):
        with pytest.raises(ModelNotFound):
            here.registry.resolve("nope")
        here.clock.now += 0.1
    assert here.ssm.calls <= 6


def test_a_refresh_reads_anew_at_once_and_survives_a_failure() -> None:
    here = world(g5={}, djl={})
    here.registry.resolve("djl")
    here.ssm.fails = client_error("ThrottlingException", "slow down")
    here.registry.refresh()
    assert here.registry.resolve("djl").name == "djl"
    here.ssm.fails = None
    del here.ssm.documents["djl"]
    here.registry.refresh()
    with pytest.raises(ModelNotFound):
        here.registry.resolve("djl")


FAILURES = [
    client_error("ThrottlingException", "slow down"),
    EndpointConnectionError(endpoint_url="https://ssm"),
]


@pytest.mark.parametrize("failure", FAILURES)
def test_the_last_reading_outlives_a_failed_one(failure: Exception) -> None:
    here = world(g5={})
    here.registry.resolve("g5")
    here.ssm.fails = failure
    here.clock.now += 61
    for _ in range(2):
        assert here.registry.resolve("g5").name == "g5"
    assert here.logged == [{"event": "registrations_not_refreshed", "reason": str(failure)}]
    here.ssm.fails = None
    here.clock.now += 61
    here.registry.resolve("g5")
    assert here.ssm.calls == 2


@pytest.mark.parametrize("failure", FAILURES)
def test_without_any_reading_a_failure_is_ours(failure: Exception) -> None:
    here = world(g5={})
    here.ssm.fails = failure
    with pytest.raises(RegistryError, match="cannot read /sd/variants: "):
        here.registry.resolve("g5")
