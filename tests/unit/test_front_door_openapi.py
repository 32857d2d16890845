"""docs/openapi.json says what the front door does: same ranges, same fields, same errors."""

import json
from typing import Any

import fastjsonschema
import pytest

from front_door.openapi import document, text
from stacks.components.gateway_refusals import refusals
from stacks.settings import ROOT, load
from tests.fakes.front_door import (
    REGISTRATION,
    FakeParameterStore,
    FakeRuntime,
    World,
    djl_error,
    get,
    get_models,
    post,
    registration,
)
from tests.unit.test_front_door_errors import FAILURES, MISTAKES

TEXT = (ROOT / "docs" / "openapi.json").read_text()
DOC: dict[str, Any] = json.loads(TEXT)
SCHEMAS = DOC["components"]["schemas"]
GENERATE = DOC["paths"]["/images/generations"]["post"]["responses"]
EDIT = DOC["paths"]["/images/edits"]["post"]["responses"]
EMBED = DOC["paths"]["/embeddings"]["post"]["responses"]
MODELS = DOC["paths"]["/models"]["get"]["responses"]
MODEL = DOC["paths"]["/models/{id}"]["get"]["responses"]


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
    return [(name, example["value"]) for example in content.get("examples", {}).values()]


def test_the_document_is_what_the_contract_makes_of_it() -> None:
    assert text(document()) == TEXT, "run `make openapi`"


CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]
REFUSALS = refusals(load(CONTEXT).api)
CODES = SCHEMAS["Error"]["properties"]["error"]["properties"]["code"]["enum"]


def test_codes_are_those_that_are_seen() -> None:
    seen = {code for *_, code in MISTAKES} | {answer[2] for _, _, answer, *_ in FAILURES}
    # test_front_door_handler's, _errors', _edits'
    seen |= {"response_too_large", "model_overloaded", "invalid_picture", "batches_only"}
    seen |= {"model_stopped", "model_too_old"}  # test_front_door_trouble's
    # test_batches_api's, test_batches_openai_client's
    seen |= {"file_not_found", "batch_not_found", "not_uploaded", "wrong_purpose"}
    seen |= {"batch_ended", "idempotency_key_reused"}
    seen |= {"gallery_not_deployed"}  # test_gallery's
    assert set(CODES) == seen | {refusal.code for refusal in REFUSALS.values()}
    assert len(CODES) == len(set(CODES))


@pytest.mark.parametrize("name", REFUSALS)
def test_the_gateway_s_own_refusals_have_the_documented_form(name: str) -> None:
    refusal = REFUSALS[name]
    body = json.loads(refusal.body().replace("$context.error.messageString", '"Forbidden"'))
    check("Error", body)
    if str(refusal.status) in GENERATE:
        documented = resolved(GENERATE[str(refusal.status)])
        assert {"x-request-id", *refusal.headers()} <= documented["headers"].keys()
        assert refusal.code in {
            example["error"]["code"] for _, example in examples(documented["content"])
        }


REQUEST_EXAMPLES = examples(DOC["paths"]["/images/generations"]["post"]["requestBody"]["content"])
RESPONSE_EXAMPLES = [
    pair
    for responses in (GENERATE, EDIT, EMBED, MODELS, MODEL)
    for response in responses.values()
    for pair in examples(resolved(response)["content"])
]
EDIT_EXAMPLES = examples(DOC["paths"]["/images/edits"]["post"]["requestBody"]["content"])

EMBED_EXAMPLES = examples(DOC["paths"]["/embeddings"]["post"]["requestBody"]["content"])


@pytest.mark.parametrize(
    ("schema", "example"), REQUEST_EXAMPLES + EDIT_EXAMPLES + EMBED_EXAMPLES + RESPONSE_EXAMPLES
)
def test_examples_are_valid(schema: str, example: Any) -> None:
    check(schema, example)


@pytest.mark.parametrize(("_", "body"), REQUEST_EXAMPLES)
def test_example_requests_are_served(_: str, body: dict[str, Any]) -> None:
    assert World().generate(**body)[0] == 200


@pytest.mark.parametrize(("_", "body"), EDIT_EXAMPLES)
def test_example_edits_are_served(_: str, body: dict[str, Any]) -> None:
    world = World()
    world.generate(prompt="x", seed=7)  # the picture that an example starts from
    assert world.edit(**body)[0] == 200


@pytest.mark.parametrize(("_", "body"), EMBED_EXAMPLES)
@pytest.mark.parametrize("warnings", [[], ["input: text 0 is too long."]])
def test_example_texts_are_embedded_as_described(
    _: str, body: dict[str, Any], warnings: list[str]
) -> None:
    world = World(runtime=FakeRuntime(change=lambda answer: answer.update(warnings=warnings)))
    status, _headers, answer = world.embed(**body)
    assert status == 200
    check("EmbeddingResponse", answer)


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
@pytest.mark.parametrize("warnings", [[], ["prompt: ends early."]])
def test_a_real_picture_s_response_is_valid(response_format: str, warnings: list[str]) -> None:
    world = World(runtime=FakeRuntime(change=lambda answer: answer.update(warnings=warnings)))
    status, _, body = world.generate(prompt="x", n=2, response_format=response_format)
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
    for model in models["data"]:
        check("Model", world.send(get("/models/{id}", pathParameters={"id": model["id"]}))[2])


def check_error(world: World, event: dict[str, Any]) -> None:
    status, headers, body = world.send(event)
    check("Error", body)
    if status == 405:
        response = DOC["components"]["responses"]["MethodNotAllowed"]
    else:
        verb, path = event["httpMethod"].lower(), event["resource"]
        # What has no path of its own is documented by any of them.
        operation = DOC["paths"].get(path, {}).get(verb) or DOC["paths"]["/images/edits"]["post"]
        response = resolved(operation["responses"][str(status)])
    assert set(headers) - {"Content-Type"} <= set(response["headers"])
    assert {"x-request-id", "Retry-After"} & set(response["headers"]) <= {*headers, "Retry-After"}
    documented = [example["error"] for _, example in examples(response["content"])]
    assert body["error"]["code"] in {error["code"] for error in documented}
    if body["error"]["type"] != "invalid_request_error":
        assert body["error"] in documented


@pytest.mark.parametrize("event", [event for event, *_ in MISTAKES])
def test_real_mistakes_are_as_documented(event: dict[str, Any]) -> None:
    check_error(World(), event)


def test_the_refusals_shown_are_real() -> None:
    # What is deployed where the examples come from.
    g5 = registration(sizes=["512x512"], seconds_per_step=0.0782)
    ssm = FakeParameterStore({"g5": g5, "inf2": registration("inf2")})
    said = [World(ssm=ssm).send(event)[2]["error"] for event, *_ in MISTAKES]
    found = DOC["components"]["responses"]
    for name in ("BadRequest", "NotFound", "MethodNotAllowed", "TooLarge"):
        for code, example in found[name]["content"]["application/json"]["examples"].items():
            if code not in ("response_too_large", "invalid_picture"):
                assert example["value"]["error"] in said


@pytest.mark.parametrize(("part", "error"), [failure[:2] for failure in FAILURES])
def test_real_failures_are_as_documented(part: str, error: Exception) -> None:
    world = World()
    getattr(world, part).fails = error
    check_error(world, post({"prompt": "x"}))


def test_a_full_queue_is_as_documented() -> None:
    full = djl_error(503, "WlmCapacityException", "Worker queue capacity exceeded")
    check_error(World(runtime=FakeRuntime(fails=full)), post({"prompt": "x"}))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("GenerationRequest", {"prompt": "x", "quality": "hd"}),
        ("GenerationRequest", {"prompt": "x", "n": 5}),
        ("GenerationRequest", {"prompt": "x", "n": "2"}),
        ("GenerationRequest", {"prompt": "x", "stream": True}),
        ("GenerationRequest", {"prompt": None}),
        ("GenerationRequest", {"prompt": "x", "image": "x"}),
        ("EditRequest", {"prompt": "x"}),
        ("EditRequest", {"prompt": "x", "image": "x", "strength": 1.5}),
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
