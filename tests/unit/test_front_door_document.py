"""What the served document calls valid is accepted, and what it calls invalid refused.

By schemathesis over HTTP: examples, coverage of each schema's corners, fuzzing, sequences, all of
its checks.

SD_API_CASES says how many requests fuzzing may make an operation (tens by default).
"""

import os
from collections.abc import Mapping
from typing import Any

import fastjsonschema
import pytest

from tests.fakes.front_door import FakeParameterStore, FakeRuntime, World, get, registration
from tests.fakes.schemathesis_run import tried

CASES = int(os.environ.get("SD_API_CASES", "50"))
ALONE = ["real-time"]
"""How it serves where there are no batches: their paths are test_batches_document's."""
FAST = {
    "g5": registration("g5", default=True, seconds_per_step=0.01, serve=ALONE),
    "inf2": registration(
        "inf2", seconds_per_step=0.01, sizes=["256x256"], max_images=2, serve=ALONE
    ),
}
# As registered on AWS: four pictures of 100 steps don't fit.
SLOW = {
    "g5": registration("g5", sizes=["512x512"], seconds_per_step=0.0782, serve=ALONE),
    "inf2": registration("inf2", sizes=["512x512"], seconds_per_step=0.0472, serve=ALONE),
}
# How many of an edit's steps are done depends on strength, which the document leaves out: what it
# calls too slow may be accepted.
LENIENT: dict[str, Any] = {
    "include-path": "/images/edits",
    "checks": {"negative_data_rejection": {"enabled": False}},
}
# How long a model's vectors are, its registration doesn't say.
ANY_DIMENSIONS: dict[str, Any] = {
    "include-path": "/embeddings",
    "checks": {"positive_data_acceptance": {"enabled": False}},
}


@pytest.mark.parametrize(
    ("deployed", "operations"),
    [(FAST, [ANY_DIMENSIONS]), (SLOW, [LENIENT, ANY_DIMENSIONS])],
    ids=["fast", "slow"],
)
def test_schemathesis_finds_nothing(
    deployed: Mapping[str, Any], operations: list[dict[str, Any]]
) -> None:
    world = World(ssm=FakeParameterStore(dict(deployed)))
    # Each is counted where it was made; a sequence's are the API's own as well.
    assert tried(world.respond, CASES, operations) >= 1000


def described(world: World) -> dict[str, Any]:
    status, _, body = world.send(get("/openapi.json"))
    assert status == 200
    return body


def deployed(**by_name: dict[str, Any]) -> World:
    """Whose pictures take just as long as their variants have registered."""
    world = World(ssm=FakeParameterStore(dict(by_name)))

    def took(answer: dict[str, Any]) -> None:
        [*_, call] = world.runtime.invocations
        registered = by_name[call["EndpointName"].removeprefix("sd-")]
        asked = call["Body"]
        step_ms = registered["seconds_per_step"] * 1000 * asked["width"] * asked["height"] / 512**2
        steps = asked["num_images"] * asked["num_inference_steps"]
        answer["timings_ms"] = dict.fromkeys(answer["timings_ms"], 0) | {"denoise": steps * step_ms}

    world.runtime = FakeRuntime(change=took)
    world.__post_init__()
    return world


def test_just_what_the_document_calls_valid_is_accepted() -> None:
    """Each model, size, number of images and of steps, given or not."""
    world = deployed(
        g5=registration("g5", default=True, seconds_per_step=0.0782, sizes=["512x512", "768x512"]),
        inf2=registration("inf2", seconds_per_step=0.6, sizes=["512x512"], max_images=3),
        slow=registration("slow", seconds_per_step=2.0, sizes=["512x512"], default_steps=13),
    )
    schema = described(world)["components"]["schemas"]["GenerationRequest"]
    valid = fastjsonschema.compile(schema)
    counted = {True: 0, False: 0}
    for model in ("g5", "inf2", "slow", None, "sdxl"):
        for size in ("512x512", "768x512", "256x256", "auto", None):
            for n in (1, 2, 3, 4, None):
                for steps in (1, 3, 10, 13, 14, 21, 22, 43, 44, 55, 56, 83, 84, 100, None):
                    asked = {"model": model, "size": size, "n": n, "num_inference_steps": steps}
                    body = {"prompt": "x", **asked}
                    try:
                        valid(body)
                    except fastjsonschema.JsonSchemaException:
                        is_valid = False
                    else:
                        is_valid = True
                    assert (world.generate(**body)[0] == 200) == is_valid, asked
                    counted[is_valid] += 1
    assert min(counted.values()) > 300


def test_models_and_sizes_are_those_deployed() -> None:
    world = deployed(**FAST)
    found = described(world)
    asked = found["components"]["schemas"]["GenerationRequest"]["properties"]
    assert asked["model"]["enum"] == ["g5", "inf2", None]
    assert asked["size"]["enum"] == ["512x512", "768x512", "auto", "256x256", None]
    form = found["components"]["schemas"]["EditForm"]["properties"]
    assert form["model"]["enum"] == ["g5", "inf2"]
    [parameter] = found["paths"]["/models/{id}"]["get"]["parameters"]
    assert parameter["schema"]["enum"] == ["g5", "inf2"]


def test_a_model_that_draws_batches_alone_is_no_model_of_a_request() -> None:
    found = described(deployed(**FAST, bulk=registration("bulk", serve=["bulk"])))
    asked = found["components"]["schemas"]["GenerationRequest"]["properties"]
    assert "bulk" not in asked["model"]["enum"]
    [parameter] = found["paths"]["/models/{id}"]["get"]["parameters"]
    assert parameter["schema"]["enum"] == ["bulk", "g5", "inf2"]


def test_texts_go_to_a_model_that_answers_requests() -> None:
    bulk = registration("bulk", serve=["bulk"])
    asked = described(deployed(**FAST, bulk=bulk))["components"]["schemas"]["EmbeddingRequest"]
    assert (asked["properties"]["model"]["enum"], asked["required"]) == (
        ["g5", "inf2", None],
        ["input"],
    )
    alone = described(deployed(inf2=FAST["inf2"], djl=registration("djl"), bulk=bulk))
    asked = alone["components"]["schemas"]["EmbeddingRequest"]
    assert (asked["properties"]["model"]["enum"], asked["required"]) == (
        ["djl", "inf2"],
        ["input", "model"],
    )


def test_batches_are_described_where_there_are_some() -> None:
    assert "/batches" not in described(deployed(**FAST))["paths"]
    assert "/batches" in described(deployed(g5=registration()))["paths"]


def test_without_a_default_a_model_has_to_be_named() -> None:
    quick: dict[str, Any] = {"seconds_per_step": 0.01}
    world = deployed(inf2=registration("inf2", **quick), djl=registration("djl", **quick))
    schema = described(world)["components"]["schemas"]["GenerationRequest"]
    assert schema["required"] == ["prompt", "model"]
    assert schema["properties"]["model"]["enum"] == ["djl", "inf2"]
    assert world.generate(prompt="x")[0] == 404


def test_one_variant_alone_makes_a_plain_schema() -> None:
    world = deployed(g5=registration(seconds_per_step=0.01))
    schema = described(world)["components"]["schemas"]["GenerationRequest"]
    assert "anyOf" not in schema
    assert schema["properties"]["size"]["enum"] == ["512x512", "768x512", "auto", None]


def test_nothing_deployed_is_described_as_ever() -> None:
    assert described(deployed())["components"]["schemas"]["GenerationRequest"]["required"]


@pytest.mark.parametrize(
    ("host", "asked", "own", "url"),
    [
        ("api.example", "/v1/openapi.json", "/openapi.json", "https://api.example/v1"),
        ("api.example", "/v1/openapi.json/", "/openapi.json/", "https://api.example/v1"),
        ("custom.example", "/openapi.json", "/openapi.json", "https://custom.example"),
        ("custom.example", "/sd/openapi.json", "/sd/openapi.json", "https://custom.example/sd"),
    ],
)
def test_the_server_is_the_one_asked(host: str, asked: str, own: str, url: str) -> None:
    """Of a custom domain with a base path the event's own path has that too."""
    event = get("/openapi.json", path=own, requestContext={"domainName": host, "path": asked})
    _, _, body = World().send(event)
    assert body["servers"] == [{"url": url}]
