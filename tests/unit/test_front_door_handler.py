"""The whole front door but for AWS: an event in, a response and a log line out."""

import base64
import json
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from tests.fakes.front_door import (
    CONFIG,
    PNG,
    REGISTRATION,
    REQUEST_ID,
    FakeRuntime,
    World,
    get,
    get_models,
    post,
    registration,
)


def test_a_picture_by_url() -> None:
    world = World()
    status, headers, body = world.generate(prompt="a red fox", n=2, seed=7)
    assert status == 200
    assert headers == {"Content-Type": "application/json", "x-request-id": REQUEST_ID}
    key = f"2026-11-22/{REQUEST_ID}"
    assert body == {
        "created": 1795377600,
        "model": "g5",
        "data": [
            {"url": f"https://pictures/{key}/{seed}.png?get_object&3600", "seed": seed}
            for seed in (7, 8)
        ],
        "size": "512x512",
        "output_format": "png",
        "background": "opaque",
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": {"text_tokens": 7, "image_tokens": 0},
            "output_tokens": 0,
            "total_tokens": 7,
            "images": 2,
            "steps": 50,
            "seconds": 0.025,
        },
        "timings_ms": {
            "text_encoder": 1.5,
            "vae_encode": 0,
            "denoise": 20,
            "vae_decode": 3,
            "encode": 1,
            "endpoint": 0,
            "storage": 0,
            "total": 0,
        },
    }
    assert list(world.s3.objects.values()) == [
        {
            "Bucket": "pictures",
            "Key": f"{key}/{seed}.png",
            "Body": PNG + str(seed).encode(),
            "ContentType": "image/png",
        }
        for seed in (7, 8)
    ]


def test_a_seed_is_drawn_and_echoed() -> None:
    world = World()  # draws the highest
    _, _, body = world.generate(prompt="a red fox", n=2)
    assert [image["seed"] for image in body["data"]] == [2**32 - 1, 0]
    assert world.runtime.invocations[0]["Body"]["seed"] == 2**32 - 1


def test_pictures_in_the_response_each_equal_the_one_made_alone() -> None:
    world = World()
    asked = {"prompt": "a red fox", "response_format": "b64_json"}
    _, _, body = world.generate(**asked, n=3, seed=2**32 - 1)
    drawn = [base64.b64decode(image["b64_json"]) for image in body["data"]]
    assert drawn == [PNG + b"4294967295", PNG + b"0", PNG + b"1"]
    for image in body["data"]:
        assert world.generate(**asked, seed=image["seed"])[2]["data"] == [image]
    assert world.s3.objects == {}


def test_the_model_asked_for_serves() -> None:
    world = World()
    world.ssm.documents["inf2"] = registration("inf2", default_steps=9)
    _, _, body = world.generate(prompt="a red fox", model="inf2")
    assert body["model"] == "inf2"
    [call] = world.runtime.invocations
    assert (call["EndpointName"], call["Body"]["num_inference_steps"]) == ("sd-inf2", 9)


def test_a_model_that_draws_batches_alone_says_so() -> None:
    world = World()
    world.ssm.documents["inf2"] = registration("inf2", serve=["async", "bulk"])
    status, _, body = world.generate(prompt="a red fox", model="inf2")
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "model", "batches_only")
    assert body["error"]["message"].endswith("it draws batches: POST /batches")
    assert world.runtime.invocations == []


def test_a_base64_body() -> None:
    encoded = base64.b64encode(b'{"prompt": "a red fox"}').decode()
    status, _, _ = World().send(post(encoded, isBase64Encoded=True))
    assert status == 200


def test_timings_come_from_the_timer() -> None:
    ticks = count()
    _, _, body = World(timer=lambda: next(ticks)).generate(prompt="x")
    timings = body["timings_ms"]
    # One of the ticks in between is a look at the time that is left.
    assert (timings["endpoint"], timings["storage"], timings["total"]) == (2000, 1000, 6000)


def test_models_are_listed_in_openai_s_shape_with_what_they_registered() -> None:
    world = World()
    world.ssm.documents["djl"] = registration("djl")
    status, headers, body = world.send(get_models())
    assert (status, headers["x-request-id"]) == (200, REQUEST_ID)
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["djl", "g5"]
    registered = {key: value for key, value in REGISTRATION.items() if key != "name"}
    assert body["data"][1] == {
        "id": "g5",
        "object": "model",
        "created": 1795377600,
        "owned_by": "sd2-community",
        **registered,
        "default": True,  # the configured one, whatever it registered
    }
    assert body["data"][0]["default"] is False


def test_an_empty_list_of_models() -> None:
    world = World()
    world.ssm.documents.clear()
    assert world.send(get_models())[2] == {"object": "list", "data": []}


def test_one_model_is_what_the_list_has_of_it() -> None:
    world = World()
    world.ssm.documents["djl"] = registration("djl")
    listed = world.send(get_models())[2]["data"]
    for entry in listed:
        found = world.send(get("/models/{id}", pathParameters={"id": entry["id"]}))
        assert (found[0], found[2]) == (200, entry)


@pytest.mark.parametrize(
    ("output_format", "media_type"),
    [("png", "image/png"), ("jpeg", "image/jpeg"), ("webp", "image/webp")],
)
def test_the_format_asked_for_is_the_one_stored_and_answered(
    output_format: str, media_type: str
) -> None:
    world = World()
    asked = {"prompt": "x", "output_format": output_format, "output_compression": 80, "seed": 7}
    _, _, body = world.generate(**asked)
    assert body["output_format"] == output_format
    [stored] = world.s3.objects.values()
    assert stored["Key"].endswith(f"/7.{output_format}")
    assert stored["ContentType"] == media_type
    sent = world.runtime.invocations[0]["Body"]
    assert (sent.get("output_format", "png"), sent["output_compression"]) == (output_format, 80)


def test_warnings_are_passed_on() -> None:
    said = ["prompt: has 90 tokens, of which the model reads 77."]
    world = World(runtime=FakeRuntime(change=lambda answer: answer.update(warnings=said)))
    assert world.generate(prompt="x")[2]["warnings"] == said
    assert "90 tokens" not in json.dumps(world.logged)  # the sentence quotes the prompt
    assert world.logged[0]["warnings"] == 1


@pytest.mark.parametrize("embed", [True, False])
def test_the_prompt_goes_into_the_picture_as_the_setting_says(embed: bool) -> None:
    world = World(config=replace(CONFIG, embed_prompt=embed))
    world.generate(prompt="x")
    assert world.runtime.invocations[0]["Body"].get("embed_prompt", True) is embed


ORIGINS = ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("origins", "origin", "allowed", "vary"),
    [
        ((), "https://a.example", None, None),
        (ORIGINS, "https://a.example", "https://a.example", "Origin"),
        (ORIGINS, "https://b.example", "https://b.example", "Origin"),
        (ORIGINS, "https://c.example", None, "Origin"),
        (ORIGINS, None, None, "Origin"),
        (("*",), "https://c.example", "*", None),
    ],
)
@pytest.mark.parametrize("body", [{"prompt": "x"}, {}])
def test_pages_of_the_origins_may_read_answers_and_refusals(
    origins: tuple[str, ...],
    origin: str | None,
    allowed: str | None,
    vary: str | None,
    body: dict[str, Any],
) -> None:
    world = World(config=replace(CONFIG, cors_origins=origins))
    headers = {"Content-Type": "application/json"} | ({"Origin": origin} if origin else {})
    _, answered, _ = world.send(post(body, headers=headers))
    assert answered.get("Access-Control-Allow-Origin") == allowed
    assert answered.get("Vary") == vary
    exposed = answered.get("Access-Control-Expose-Headers", "")
    assert ("x-request-id" in exposed) == bool(origins)


def test_a_response_lambda_couldn_t_return_points_to_url() -> None:
    world = World(runtime=FakeRuntime(padding=1_200_000))
    status, _, body = world.generate(prompt="x", n=4, response_format="b64_json")
    assert status == 400
    assert body["error"]["param"] == "response_format"
    assert body["error"]["code"] == "response_too_large"
    assert 'use "url", or a smaller n' in body["error"]["message"]
    assert world.generate(prompt="x", n=3, response_format="b64_json")[0] == 200
    assert world.generate(prompt="x", n=4)[0] == 200


def test_a_response_just_within_lambda_s_limit_passes() -> None:
    def size(padding: int) -> tuple[int, int]:
        world = World(runtime=FakeRuntime(padding=padding))
        response = world.respond(post({"prompt": "x", "response_format": "b64_json"}))
        return response["statusCode"], len(json.dumps(response))

    limit = 6 * 1024 * 1024
    status, length = size((limit - 2000) * 3 // 4)
    assert status == 200
    assert limit - 2000 < length <= limit
    assert size(limit * 3 // 4)[0] == 400


def test_the_time_limit_is_the_configured_one() -> None:
    slow = {"prompt": "x", "n": 4, "num_inference_steps": 100}  # 40 s by its figures
    assert World(config=replace(CONFIG, gateway_timeout_s=42)).generate(**slow)[0] == 400
    assert World(config=replace(CONFIG, gateway_timeout_s=43)).generate(**slow)[0] == 200
