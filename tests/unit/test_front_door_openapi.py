"""docs/openapi.json says what the front door does: same ranges, same fields, same errors."""

import json
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from front_door.openapi import filled, text
from stacks.components.inference_api import REFUSALS
from tests.fakes.front_door import (
    REGISTRATION,
    FakeParameterStore,
    World,
    get_models,
    post,
    registration,
)
from tests.unit.test_front_door_errors import FAILURES, MISTAKES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text()
DOC: dict[str, Any] = json.loads(TEXT)
SCHEMAS = DOC["components"]["schemas"]
GENERATE = DOC["paths"]["/images/generations"]["post"]["responses"]
MODELS = DOC["paths"]["/models"]["get"]["responses"]


def check(schema: str, value: Any) -> None:
    """Raises JsonSchemaException unless `value` is a `schema`."""
    fastjsonschema.validate(
        {"$ref": f"#/components/schemas/{schema}", "components": DOC["components"]}, value
    )


def resolved(response: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in response:
        found: dict[str, Any] = DOC["components"]["responses"][response["$ref"].split("/")[-1]]
        return found
    return response


def examples(content: dict[str, Any]) -> list[tuple[str, Any]]:
    """(schema's name, example) of a request's or response's JSON content."""
    content = content["application/json"]
    name = content["schema"]["$ref"].split("/")[-1]
    return [(name, example["value"]) for example in content["examples"].values()]


def test_the_document_is_what_the_contract_makes_of_it() -> None:
    assert text(filled(DOC)) == TEXT, "run `make openapi`"


def test_fields_ranges_and_registrations_come_from_the_contract() -> None:
    drifted: dict[str, Any] = json.loads(TEXT)
    schemas = drifted["components"]["schemas"]
    schemas["GenerationRequest"]["properties"]["n"]["maximum"] = 9
    schemas["GenerationRequest"]["properties"]["quality"] = {"type": "string"}
    schemas["Image"]["properties"]["seed"]["maximum"] = 9
    schemas["Timings"]["required"].remove("denoise")
    del schemas["Model"]["properties"]["built"]["properties"]["quality"]["type"]
    schemas["Model"]["required"].remove("built")
    examples = drifted["components"]["responses"]["BadRequest"]["content"]["application/json"]
    examples["examples"]["unknown_field"]["value"]["error"]["message"] = "quality: unknown"
    assert drifted != DOC
    assert filled(drifted) == DOC


CODES = SCHEMAS["Error"]["properties"]["error"]["properties"]["code"]["enum"]


def test_codes_are_those_that_are_seen() -> None:
    seen = {code for *_, code in MISTAKES} | {code for *_, (_, _, code, _) in FAILURES}
    seen.add("response_too_large")  # test_front_door_handler's
    assert set(CODES) == seen | {refusal.code for refusal in REFUSALS.values()}
    assert len(CODES) == len(set(CODES))


@pytest.mark.parametrize("name", REFUSALS)
def test_the_gateway_s_own_refusals_have_the_documented_form(name: str) -> None:
    refusal = REFUSALS[name]
    body = json.loads(refusal.body().replace("$context.error.messageString", '"Forbidden"'))
    check("Error", body)
    if str(refusal.status) in GENERATE:
        documented = resolved(GENERATE[str(refusal.status)])
        assert set(refusal.headers()) == set(documented["headers"])
        assert refusal.code in {
            example["error"]["code"] for _, example in examples(documented["content"])
        }


REQUEST_EXAMPLES = examples(DOC["paths"]["/images/generations"]["post"]["requestBody"]["content"])
RESPONSE_EXAMPLES = [
    pair
    for responses in (GENERATE, MODELS)
    for response in responses.values()
    for pair in examples(resolved(response)["content"])
]


@pytest.mark.parametrize(("schema", "example"), REQUEST_EXAMPLES + RESPONSE_EXAMPLES)
def test_examples_are_valid(schema: str, example: Any) -> None:
    check(schema, example)


@pytest.mark.parametrize(("_", "body"), REQUEST_EXAMPLES)
def test_example_requests_are_served(_: str, body: dict[str, Any]) -> None:
    assert World().generate(**body)[0] == 200


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
def test_a_real_picture_s_response_is_valid(response_format: str) -> None:
    status, _, body = World().generate(prompt="x", n=2, response_format=response_format)
    assert status == 200
    check("GenerationResponse", body)


def test_a_real_list_is_valid() -> None:
    world = World()
    unpriced = {"price_usd_per_hour": None, "price_date": None, "price_source": None}
    built = {"base_image_digest": None, "quality": None}
    world.ssm.documents["djl"] = registration("djl", **unpriced, built=built)
    world.ssm.documents["old"] = registration("old", built=None)
    models = world.send(get_models())[2]
    check("ModelList", models)
    assert len(models["data"]) == 3


def check_error(world: World, event: dict[str, Any]) -> None:
    status, headers, body = world.send(event)
    check("Error", body)
    response = resolved(GENERATE[str(status)])
    assert set(headers) - {"Content-Type"} == set(response["headers"])
    assert body in [example for _, example in examples(response["content"])]


@pytest.mark.parametrize("event", [event for event, *_ in MISTAKES])
def test_real_mistakes_are_as_documented(event: dict[str, Any]) -> None:
    # What is deployed where the examples come from.
    g5 = registration(sizes=["512x512"], seconds_per_step=0.0782)
    ssm = FakeParameterStore({"g5": g5, "inf2": registration("inf2")})
    check_error(World(ssm=ssm), event)


@pytest.mark.parametrize(("part", "error"), [failure[:2] for failure in FAILURES])
def test_real_failures_are_as_documented(part: str, error: Exception) -> None:
    world = World()
    getattr(world, part).fails = error
    check_error(world, post({"prompt": "x"}))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("GenerationRequest", {"prompt": "x", "quality": "hd"}),
        ("GenerationRequest", {"prompt": "x", "n": 5}),
        ("GenerationRequest", {"prompt": "x", "n": "2"}),
        ("GenerationRequest", {}),
        ("Image", {"seed": 1}),
        ("Image", {"seed": 1, "url": "x", "b64_json": "x"}),
        ("Model", {**REGISTRATION, "id": "g5"}),
        ("Error", {"error": {"message": "x"}}),
    ],
)
def test_the_schemas_refuse_what_they_should(schema: str, value: Any) -> None:
    with pytest.raises(fastjsonschema.JsonSchemaException):
        check(schema, value)
