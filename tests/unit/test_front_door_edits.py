"""An edit from its request to the container: pictures in, however they are given, with every field
of a generation."""

import base64
import json
from typing import Any

import httpx
import pytest

from front_door.picture_time import PictureTimes
from tests.fakes.front_door import (
    NOW,
    REQUEST_ID,
    FakeParameterStore,
    FakeRuntime,
    World,
    edit,
    registration,
)

PICTURE, MASK = bytes(range(256)), b"a mask"
ENCODED = base64.b64encode(PICTURE).decode()


def form_event(*files: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    """As API Gateway hands a form over."""
    request = httpx.Request("POST", "http://x", data=fields, files=list(files))
    return edit(
        base64.b64encode(request.read()).decode(),
        headers={"Content-Type": request.headers["content-type"]},
        isBase64Encoded=True,
    )


def sent(world: World) -> dict[str, Any]:
    [invocation] = world.runtime.invocations
    body: dict[str, Any] = invocation["Body"]
    return {name: body.get(name) for name in ("image", "mask", "strength", "seed")}


def test_a_form_as_openai_s_client_sends_it() -> None:
    world = World()
    event = form_event(
        ("image", ("fox.png", PICTURE, "image/png")),
        ("mask", ("mask.png", MASK, "image/png")),
        prompt="a white fox",
        n="2",
        seed="7",
        strength="0.5",
        quality="auto",
        stream="false",
    )
    status, _, body = world.send(event)
    assert status == 200, body
    assert sent(world) == {
        "image": ENCODED,
        "mask": base64.b64encode(MASK).decode(),
        "strength": 0.5,
        "seed": 7,
    }
    assert [image["seed"] for image in body["data"]] == [7, 8]
    assert body["usage"]["steps"] == 24  # half of 25 each


@pytest.mark.parametrize(
    "image",
    [
        ENCODED,
        f"data:image/png;base64,{ENCODED}",
        f"DATA:image/jpeg;charset=x;base64,{ENCODED}",
        f"data:;base64,{ENCODED}",
    ],
)
def test_json_has_the_picture_as_text(image: str) -> None:
    world = World()
    status, _, body = world.edit(prompt="x", image=image, seed=7)
    assert status == 200, body
    assert sent(world) == {"image": ENCODED, "mask": None, "strength": 0.75, "seed": 7}


def test_a_picture_made_here_by_its_url_and_by_its_key() -> None:
    world = World()
    url = world.generate(prompt="x", seed=3)[2]["data"][0]["url"]
    [(key, stored)] = world.s3.objects.items()
    for given in (url, key):
        world.runtime.invocations.clear()
        assert world.edit(prompt="x", image=given, mask=given)[0] == 200
        encoded = base64.b64encode(stored["Body"]).decode()
        assert (sent(world)["image"], sent(world)["mask"]) == (encoded, encoded)


def test_a_form_may_name_it_as_well() -> None:
    world = World()
    world.generate(prompt="x", seed=3)
    [key] = world.s3.objects
    world.runtime.invocations.clear()
    assert world.send(form_event(("prompt", (None, "x")), ("image", (None, key))))[0] == 200
    assert sent(world)["image"] is not None


@pytest.mark.parametrize(
    "image",
    [
        "https://example.org/2026-11-22/id/7.png",
        "http://169.254.169.254/latest/meta-data",
        f"https://other/2026-11-22/{REQUEST_ID}/7.png?X-Amz-Signature=x",
    ],
)
def test_no_other_url_is_read(image: str) -> None:
    world = World()
    status, _, body = world.edit(prompt="x", image=image)
    assert (status, body["error"]["param"]) == (400, "image")
    assert body["error"]["message"].startswith("image: of URLs, only that of a picture which this")
    assert world.runtime.invocations == []


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("image", "ä", "invalid_base64"),
        ("image", "QQ=", "invalid_base64"),
        ("image", "Q Q==", "invalid_base64"),
        ("image", "data:image/png,QQ==", "invalid_base64"),
        ("image", "data:image/png;base64,", "out_of_range"),
        ("image", ["QQ=="], "invalid_type"),
        ("mask", "!", "invalid_base64"),
        ("mask", "", "out_of_range"),
        ("strength", 1.01, "out_of_range"),
        ("strength", "0.5", "invalid_type"),
    ],
)
def test_what_is_wrong_is_refused_by_name(field: str, value: Any, code: str) -> None:
    world = World()
    status, _, body = world.edit(**{"prompt": "x", "image": ENCODED, field: value})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, field, code)
    assert body["error"]["message"].startswith(f"{field}: ")
    assert world.runtime.invocations == []


def test_a_picture_is_required_in_both_forms() -> None:
    assert World().edit(prompt="x")[2]["error"]["message"] == "image: required, a string"
    event = form_event(("mask", ("m", MASK)), prompt="x")
    assert World().send(event)[2]["error"]["code"] == "missing_field"


def test_a_generation_has_no_picture() -> None:
    status, _, body = World().generate(prompt="x", image=ENCODED)
    assert (status, body["error"]["code"]) == (400, "unknown_field")


def test_more_than_sagemaker_carries_is_refused_by_its_limit() -> None:
    world = World()
    world.generate(prompt="x", seed=3)
    [(key, stored)] = world.s3.objects.items()
    stored["Body"] = bytes(5_000_000)
    world.runtime.invocations.clear()
    status, _, body = world.edit(prompt="x", image=key)
    assert (status, body["error"]["param"]) == (413, "image")
    assert "SageMaker carries 6291456" in body["error"]["message"]
    assert world.runtime.invocations == []


def test_the_container_s_refusal_of_a_picture_is_told_by_the_field() -> None:
    refused = {
        "type": "invalid_request",
        "param": "image",
        "message": "image: is cut off",
        "code": "invalid_picture",
    }

    def change(answer: dict[str, Any]) -> None:
        answer.clear()
        answer["error"] = refused

    status, _, body = World(runtime=FakeRuntime(change=change)).edit(prompt="x", image=ENCODED)
    assert (status, body["error"]["param"]) == (400, "image")
    assert body["error"]["message"] == "image: is cut off"
    assert body["error"]["code"] == "invalid_picture"


def test_the_log_says_that_it_is_an_edit_and_nothing_of_its_pictures() -> None:
    world = World()
    world.edit(prompt="x", image=ENCODED, mask=ENCODED, strength=0.5)
    [line] = world.logged
    assert (line["path"], line["strength"], line["masked"]) == ("/images/edits", 0.5, True)
    assert ENCODED[:20] not in json.dumps(line)


SLOW = registration(seconds_per_step=0.3)  # 86 steps in the endpoint's 26 s


def test_only_the_steps_that_are_done_count_against_the_time() -> None:
    def status(**fields: Any) -> tuple[int, dict[str, Any]]:
        world = World(ssm=FakeParameterStore({"g5": SLOW}))
        return world.edit(prompt="x", image=ENCODED, num_inference_steps=100, **fields)[::2]

    assert status(strength=0.86)[0] == 200
    code, body = status(strength=0.9)
    assert (code, body["error"]["code"]) == (400, "too_slow")
    assert "up to 96 num_inference_steps" in body["error"]["message"]
    assert status(strength=1)[0] == 400


def test_what_an_edit_took_is_learnt_by_the_steps_it_did() -> None:
    def took(answer: dict[str, Any]) -> None:
        answer["timings_ms"] |= {"denoise": 1000.0, "vae_encode": 0.0, "vae_decode": 0.0}

    world = World(runtime=FakeRuntime(change=took))
    for _ in range(60):
        world.edit(prompt="x", image=ENCODED, strength=0.4)  # 10 of 25 steps
    world.edit(prompt="x", image=ENCODED, strength=0)  # none, from which nothing is learnt
    assert isinstance(world.front_door.picture_times, PictureTimes)
    assert world.logged[-2]["estimate_s"] == pytest.approx(1.0, abs=0.06)
    assert world.logged[-1]["estimate_s"] == pytest.approx(0.0, abs=0.06)
    assert world.clock.now == NOW
