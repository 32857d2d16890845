"""One line a request, and never a word of the prompt in it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError
from botocore.session import get_session

from tests.fakes.front_door import (
    CONFIG,
    REQUEST_ID,
    FakeParameterStore,
    FakeRuntime,
    World,
    client_error,
    edit,
    model_error,
    no_endpoint,
    post,
    registration,
)

FIGURES = {
    "total_ms": 0,
    "endpoint_ms": 0,
    "text_encoder_ms": 1.5,
    "vae_encode_ms": 0,
    "denoise_ms": 20,
    "vae_decode_ms": 3,
    "encode_ms": 1,
    "storage_ms": 0,
    "pictures": 2,
    "steps_run": 50,
    "usd_per_picture": pytest.approx(1.4084 / 3600 * 0.0255 / 2),
    "failed": 0,
}
CALLED = {"api_key_id": "key-1", "method": "POST", "path": "/images/generations"}


def test_the_log_line() -> None:
    world = World()
    world.generate(prompt="a red fox", n=2, seed=7, user="someone@example.org")
    [line] = world.logged
    line["_aws"]["CloudWatchMetrics"][0]["Metrics"].sort(key=lambda metric: metric["Name"])
    assert world.logged == [
        {
            "event": "request",
            "request_id": REQUEST_ID,
            "status": 200,
            **CALLED,
            "user": hashlib.sha256(b"someone@example.org").hexdigest()[:16],
            "model": "g5",
            "n": 2,
            "size": "512x512",
            "quality": "standard",
            "steps": 25,
            "guidance_scale": 7.5,
            "seed": 7,
            "strength": None,
            "masked": False,
            "response_format": "url",
            "output_format": "png",
            "estimate_s": 5.0,
            "prompt_tokens": 7,
            "warnings": 0,
            **FIGURES,
            "_aws": {
                "Timestamp": 1795377600250,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "sd",
                        "Dimensions": [["model"]],
                        "Metrics": [{"Name": name, "Unit": unit(name)} for name in sorted(FIGURES)],
                    }
                ],
            },
        }
    ]


def unit(name: str) -> str:
    if name == "usd_per_picture":
        return "None"
    return "Milliseconds" if name.endswith("_ms") else "Count"


def test_the_line_follows_the_embedded_metric_format() -> None:
    """By its JSON Schema (CloudWatch's user guide), as far as it goes: names, units, a number by
    each name and a text by each dimension, at the top of the line."""
    world = World()
    world.generate(prompt="x")
    [line] = world.logged
    [directive] = line["_aws"]["CloudWatchMetrics"]
    shapes = get_session().get_service_model("cloudwatch").shape_for("StandardUnit")
    assert len(directive["Metrics"]) <= 100
    for metric in directive["Metrics"]:
        assert metric["Unit"] in shapes.enum
        assert isinstance(line[metric["Name"]], int | float)
    for dimension in directive["Dimensions"][0]:
        assert isinstance(line[dimension], str)
    assert isinstance(line["_aws"]["Timestamp"], int)


def test_the_cost_of_a_picture_is_its_share_of_the_instance() -> None:
    world = World(
        runtime=FakeRuntime(change=lambda answer: answer["engine"].update(images_in_batch=4))
    )  # with another request's three
    world.generate(prompt="x")
    seconds = 0.0255 / 4
    assert world.logged[0]["usd_per_picture"] == pytest.approx(1.4084 / 3600 * seconds)


def test_without_a_price_there_is_no_cost() -> None:
    unpriced: dict[str, Any] = {
        "price_usd_per_hour": None,
        "price_date": None,
        "price_source": None,
    }
    world = World(ssm=FakeParameterStore({"g5": registration(**unpriced)}))
    world.generate(prompt="x")
    assert "usd_per_picture" not in json.dumps(world.logged)


def test_a_failure_counts_by_its_model() -> None:
    world = World(runtime=FakeRuntime(fails=no_endpoint()))
    world.generate(prompt="x")
    [line] = world.logged
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Metrics"] == [{"Name": "failed", "Unit": "Count"}]
    assert (line["failed"], line["model"]) == (1, "g5")


def test_what_is_tried_again_is_told() -> None:
    world = World(runtime=FakeRuntime(fails_first=[client_error("ThrottlingException")]))
    assert world.generate(prompt="x")[0] == 200
    assert world.logged[0]["tried_again_after"] == ["EndpointThrottled"]


def test_a_refused_request_is_logged_by_code_and_field() -> None:
    world = World()
    world.generate(prompt="a red fox", n=9)
    assert world.logged == [
        {
            "event": "request",
            "request_id": REQUEST_ID,
            "status": 400,
            **CALLED,
            "error": "InvalidRequest",
            "code": "out_of_range",
            "param": "n",
            "total_ms": 0,
        }
    ]


def test_prompts_only_where_the_setting_says_so() -> None:
    world = World(config=replace(CONFIG, log_prompts=True))
    world.generate(prompt="a red fox", negative_prompt="blurry", user="someone@example.org")
    [line] = world.logged
    assert (line["prompt"], line["negative_prompt"]) == ("a red fox", "blurry")
    assert "someone" not in json.dumps(line)


SECRETS = ("KEY-IN-HEADER", "TOKEN-AS-BEARER", "SIGNATURE", "CREDENTIAL", "SESSION")
SIGNED = (
    "https://pictures/2026-11-22/id/7.png?X-Amz-Credential=CREDENTIAL%2F20261122&X-Amz-Security-"
    "Token=SESSION%2B&X-Amz-Signature=SIGNATURE"
)


@pytest.mark.parametrize(
    "leak",
    [
        f"of {SIGNED}",
        "headers {'x-api-key': 'KEY-IN-HEADER', 'Authorization': 'Bearer TOKEN-AS-BEARER'}",
        f'{{"url": "{SIGNED}"}}',
    ],
)
@pytest.mark.parametrize("part", ["runtime", "s3", "ssm"])
@pytest.mark.parametrize("error", [RuntimeError, lambda text: client_error("InternalError", text)])
def test_no_secret_reaches_the_log(leak: str, part: str, error: Callable[[str], Exception]) -> None:
    world = World()
    getattr(world, part).fails = error(leak)
    headers = {"X-Api-Key": "KEY-IN-HEADER", "authorization": "Bearer TOKEN-AS-BEARER"}
    for event in (
        post({"prompt": "x"}, headers=headers),
        edit({"prompt": "x", "image": SIGNED}, headers=headers),
    ):
        world.send(event)
    assert world.logged
    text = json.dumps(world.logged)
    assert not [secret for secret in SECRETS if secret in text]


PROMPT = 'a "red" fox\nand ein Füchslein'
LEAKS = [
    lambda text: RuntimeError(f"while drawing {text}"),
    lambda text: RuntimeError(f"while drawing {text!r}"),
    lambda text: ParamValidationError(report=f"Body, value: {json.dumps(text)}"),
    lambda text: RuntimeError(json.dumps(text, ensure_ascii=False)),
    lambda text: model_error({"error": {"type": "engine_error", "message": f"at {text}"}}),
    lambda text: model_error({"error": {"type": "invalid_request", "message": f"at {text}"}}),
    lambda text: model_error(f"Traceback {text}"),
]


@pytest.mark.parametrize("leak", LEAKS)
def test_the_prompt_never_reaches_the_log(leak: Callable[[str], Exception]) -> None:
    for field in ("prompt", "negative_prompt", "user"):
        world = World(runtime=FakeRuntime(fails=leak(PROMPT)))
        world.generate(**{"prompt": "x y z", field: PROMPT})
        [line] = world.logged
        assert "error" in line
        text = json.dumps(line, ensure_ascii=False)
        assert "Füchslein" not in text
        assert "F\\u00fcchslein" not in text
        assert "red" not in text.replace("[redacted]", "")


@pytest.mark.parametrize("body", [{PROMPT: 1}, {"prompt": "x", "model": PROMPT}, PROMPT])
def test_nor_does_it_from_the_wrong_place(body: Any) -> None:
    world = World()
    status, _, _ = world.send(post(body))
    assert status in (400, 404)
    assert "chslein" not in json.dumps(world.logged)
