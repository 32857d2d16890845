"""One line a request, and never a word of the prompt in it."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError

from tests.fakes.front_door import REQUEST_ID, FakeRuntime, World, model_error, post

CALLED = {"api_key_id": "key-1", "method": "POST", "path": "/images/generations"}


def test_the_log_line() -> None:
    world = World()
    world.generate(prompt="a red fox", n=2, seed=7, user="someone@example.org")
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
            "steps": 25,
            "guidance_scale": 7.5,
            "seed": 7,
            "response_format": "url",
            "estimate_s": 5.0,
            "stages_ms": {
                "endpoint": 0,
                "text_encoder": 1.5,
                "vae_encode": 0,
                "denoise": 20,
                "vae_decode": 3,
                "encode": 1,
                "storage": 0,
                "total": 0,
            },
        }
    ]


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
            "stages_ms": {"total": 0},
        }
    ]


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
