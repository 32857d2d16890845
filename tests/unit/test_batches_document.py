"""What the API's document says of files and batches is so: its examples, what is answered, and by
schemathesis what is taken and refused."""

import json
import os
from collections.abc import Iterator
from typing import Any

import fastjsonschema
import pytest

from stacks.settings import ROOT
from tests.fakes import batches as fakes
from tests.fakes.batches import World
from tests.fakes.schemathesis_run import tried

CASES = int(os.environ.get("SD_API_CASES", "20"))
DOC: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text())
PATHS = [path for path in DOC["paths"] if path.startswith(("/files", "/batches"))]
OTHERS = [path for path in DOC["paths"] if path not in PATHS]


@pytest.fixture
def world() -> Iterator[World]:
    with fakes.aws() as session:
        yield World(session)


def check(schema: str, value: Any) -> None:
    """Raises JsonSchemaException unless `value` is a `schema`."""
    fastjsonschema.validate(
        {"$ref": f"#/components/schemas/{schema}", "components": DOC["components"]}, value
    )


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Where, and JSON's content there."""
    for path in PATHS:
        for verb, operation in DOC["paths"][path].items():
            bodies = [("request", operation.get("requestBody", {}))]
            for status, response in operation["responses"].items():
                if "$ref" in response:
                    response = DOC["components"]["responses"][response["$ref"].split("/")[-1]]
                bodies.append((status, response))
            for name, body in bodies:
                if content := body.get("content", {}).get("application/json"):
                    yield f"{verb} {path} {name}", content


@pytest.mark.parametrize("content", [pytest.param(content, id=id) for id, content in contents()])
def test_examples_are_valid(content: dict[str, Any]) -> None:
    for example in content.get("examples", {}).values():
        check(content["schema"]["$ref"].split("/")[-1], example["value"])


def test_what_is_answered_is_as_documented(world: World) -> None:
    done = world.create({"prompt": "fox", "n": 2}, {"prompt": "fails"}, metadata={"a": "b"})
    check("Batch", done)
    world.draw(done["id"])
    world.work()
    done = world.get(done["id"])
    wrong = world.create({"n": 7})
    cancelled = world.create({"prompt": "fox"})["id"]
    check("Batch", world.send("POST", f"/batches/{cancelled}/cancel")[2])
    world.work()
    for batch in (done, wrong, world.get(cancelled)):
        check("Batch", batch)
    check("BatchList", world.send("GET", "/batches")[2])
    check("FileList", world.send("GET", "/files")[2])
    pending = {"purpose": "batch", "filename": "x", "bytes": 9}
    check("File", world.send("POST", "/files", pending)[2])
    error_file = world.get(cancelled)["error_file_id"]
    for id in (done["output_file_id"], done["error_file_id"], error_file):
        check("File", world.send("GET", f"/files/{id}")[2])
        for line in world.lines(id):
            check("BatchOutputLine", line)
            assert check_body(line) or line["error"]
    for line in world.lines(done["input_file_id"]):
        check("BatchLine", line)
    check("DeletedFile", world.send("DELETE", f"/files/{done['output_file_id']}")[2])


def check_body(line: dict[str, Any]) -> bool:
    """By the schema that is its status's: an `anyOf` may be the other's."""
    if line["response"] is None:
        return False
    ok = line["response"]["status_code"] == 200
    check("BatchPictures" if ok else "LineError", line["response"]["body"])
    return True


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("BatchRequest", {"endpoint": "/v1/images/edits"}),
        ("BatchRequest", {"input_file_id": "x"}),
        ("BatchRequest", {"input_file_id": "x", "requests": [{}], "endpoint": "/v1/images/edits"}),
        ("BatchRequest", {"requests": []}),
        ("GenerationLine", {"prompt": "x", "n": 101}),
        ("GenerationLine", {"prompt": "x", "response_format": "b64_json"}),
        ("FileAnnouncement", {"purpose": "batch", "filename": "x", "bytes": 209_715_201}),
    ],
)
def test_the_schemas_refuse_what_they_should(schema: str, value: Any) -> None:
    with pytest.raises(fastjsonschema.JsonSchemaException):
        check(schema, value)


@pytest.mark.parametrize("schema", ["GenerationLine", "EditLine"])
def test_a_line_is_not_told_what_is_a_request_s_alone(schema: str) -> None:
    told = DOC["components"]["schemas"][schema]["properties"]
    assert "max_images" not in told["n"]["description"]
    assert "b64_json" not in told["response_format"]["description"]


def test_schemathesis_finds_nothing(world: World) -> None:
    operations: list[dict[str, Any]] = [{"include-path": path, "enabled": False} for path in OTHERS]
    # A number in a form is as good a file as any.
    untyped = {"negative_data_rejection": {"enabled": False}}
    operations.append({"include-path": "/files", "checks": untyped})
    assert tried(world.respond, CASES, operations) >= 200
    failures = [line for line in world.logged if line.get("status", 0) >= 500]
    assert failures == []
