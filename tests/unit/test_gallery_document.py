"""What the API's document says of kept pictures is so: its examples, what is answered, and by
schemathesis what is taken and refused."""

import json
import os
from collections.abc import Iterator
from typing import Any

import fastjsonschema
import pytest

from front_door.gallery import PATHS
from stacks.settings import ROOT
from tests.fakes import gallery as fakes
from tests.fakes.front_door import FakeParameterStore, get, registration
from tests.fakes.front_door import World as WithoutGallery
from tests.fakes.gallery import World
from tests.fakes.schemathesis_run import tried

CASES = int(os.environ.get("SD_API_CASES", "20"))
DOC: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text())
QUICK = registration(seconds_per_step=0.01, serve=["real-time"])
OTHERS = [path for path in DOC["paths"] if path not in (*PATHS, "/images/generations")]


@pytest.fixture
def world() -> Iterator[World]:
    with fakes.world(variants={"g5": QUICK}) as found:
        yield found


def check(schema: str, value: Any) -> None:
    """Raises JsonSchemaException unless `value` is a `schema`."""
    fastjsonschema.validate(
        {"$ref": f"#/components/schemas/{schema}", "components": DOC["components"]}, value
    )


def responses() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in PATHS:
        for verb, operation in DOC["paths"][path].items():
            for status, response in operation["responses"].items():
                if "$ref" in response:
                    response = DOC["components"]["responses"][response["$ref"].split("/")[-1]]
                yield f"{verb} {path} {status}", response["content"]["application/json"]


@pytest.mark.parametrize("content", [pytest.param(content, id=id) for id, content in responses()])
def test_examples_are_valid(content: dict[str, Any]) -> None:
    assert content["examples"]
    for example in content["examples"].values():
        check(content["schema"]["$ref"].split("/")[-1], example["value"])


def test_what_is_answered_is_as_documented(world: World) -> None:
    status, _, drawn = world.generate(prompt="a fox", store=True)
    assert status == 200
    check("GenerationResponse", drawn)
    world.edit(prompt="a fox", image="aGk=", store=True)
    world.work()
    listed = world.get("/pictures")[1]
    assert len(listed["data"]) == 2
    check("KeptPictureList", listed)
    check("KeptPicture", world.get(f"/pictures/{listed['first_id']}")[1])
    similar = world.get("/similar", prompt="a fox")[1]
    assert len(similar["data"]) == 2
    check("SimilarPictures", similar)
    check("DeletedPicture", world.delete(listed["first_id"])[1])


def test_without_a_gallery_it_has_no_paths_and_nothing_is_stored() -> None:
    world = WithoutGallery(ssm=FakeParameterStore({"g5": QUICK}))
    described = world.send(get("/openapi.json"))[2]
    assert not {*PATHS} & described["paths"].keys()
    schemas = described["components"]["schemas"]
    assert schemas["GenerationRequest"]["properties"]["store"]["enum"] == [False, None]
    assert world.generate(prompt="x", store=False)[0] == 200
    status, _, body = world.generate(prompt="x", store=True)
    assert (status, body["error"]["param"]) == (400, "store")
    for path in PATHS:
        status, _, body = world.send(get(path))
        assert (status, body["error"]["code"]) == (404, "gallery_not_deployed")


def test_schemathesis_finds_nothing(world: World) -> None:
    operations: list[dict[str, Any]] = [{"include-path": path, "enabled": False} for path in OTHERS]
    # Either a prompt or a picture, which parameters can't say.
    either = {"positive_data_acceptance": {"enabled": False}}
    operations.append({"include-path": "/similar", "checks": either})
    assert tried(world.respond, CASES, operations) >= 100
    failures = [line for line in (*world.logged, *world.said) if line.get("status", 0) >= 500]
    assert failures == []
