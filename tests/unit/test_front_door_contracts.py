"""The front door agrees with what the stacks register and what the containers take."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from front_door import endpoint
from front_door.config import Config
from front_door.errors import EndpointUnavailable, InvalidRequest
from front_door.generation import complete, parse_fields
from front_door.image_time import ImageTimes
from front_door.time_limit import check_time
from front_door.variants import Variant
from sd_serving import contract, server
from sd_serving.config import ServingConfig
from sd_serving.engine import Engine
from sd_serving.errors import InvalidRequest as Refusal
from sd_serving.errors import NotReady
from sd_serving.handler import Call, Handler, error_reply
from stacks.serving_environment import registration, serving_environment
from stacks.settings import LIMITS, ROOT, Settings, load
from tests import serving_fakes
from tests.unit.front_door_fakes import FakeRuntime, generation_request, model_error
from tests.unit.test_front_door_config import ENV

CONFIG = Config.from_env({**ENV, "SD_LIMITS": LIMITS.to_json()})
SERVED: Any = SimpleNamespace(artifact_key="9f2c", revision="4e63")
VARIANTS = ("g5", "djl", "inf2")
CONTEXTS: dict[str, dict[str, str]] = {"aws": {}, "local": {"profile": "local"}}


def settings(profile: str) -> Settings:
    return load(json.loads((ROOT / "cdk.json").read_text())["context"] | CONTEXTS[profile])


def registered(profile: str, name: str) -> Variant:
    app = settings(profile)
    built = '{"base_image_digest":"sha256:0","quality":null}'
    return Variant.parse(registration(app, app.variant(name), SERVED, built))


@pytest.mark.parametrize("profile", CONTEXTS)
@pytest.mark.parametrize("name", VARIANTS)
def test_what_the_stacks_register_is_served_at_its_defaults(profile: str, name: str) -> None:
    variant = registered(profile, name)
    assert variant.name == name
    fields = parse_fields({"prompt": "a red fox", "n": variant.max_images}, CONFIG.limits)
    request = complete(fields, variant, CONFIG.limits, lambda _: 0)
    check_time(request, ImageTimes(lambda: 0).of(request), CONFIG.endpoint_timeout_s)


def test_what_the_study_could_draw_at_50_steps_isn_t_refused() -> None:
    """3.91 s an image at 50 steps: four at 83 steps are 26 s. Taken as 25 steps it was 41."""
    request = generation_request(
        variant=registered("aws", "g5"), seeds=(1, 2, 3, 4), num_inference_steps=80
    )
    check_time(request, ImageTimes(lambda: 0).of(request), CONFIG.endpoint_timeout_s)


def test_the_longest_legal_body_passes() -> None:
    # As a client sends it that escapes all but ASCII: twelve bytes for a character such as this.
    body = {"prompt": "🦊" * LIMITS.prompt[1], "negative_prompt": "🦊" * LIMITS.negative_prompt[1]}
    for profile in CONTEXTS:
        assert len(json.dumps(body)) + 500 <= settings(profile).api.max_body_bytes


@pytest.mark.parametrize("profile", CONTEXTS)
@pytest.mark.parametrize("name", VARIANTS)
def test_the_container_takes_what_is_sent(profile: str, name: str) -> None:
    app = settings(profile)
    serving = ServingConfig.from_env(serving_environment(app.variant(name), "9f2c"))
    body = {
        "prompt": "a red fox",
        "negative_prompt": "blurry",
        "n": 4,
        "num_inference_steps": 3,
        "guidance_scale": 20,
        "seed": 2**32 - 2,
    }
    fields = parse_fields(body, CONFIG.limits)
    request = complete(fields, registered(profile, name), CONFIG.limits, lambda _: 0)
    runtime = FakeRuntime()
    endpoint.generate(runtime, request, "id-1")
    [call] = runtime.invocations
    taken = contract.parse_request(json.dumps(call["Body"]).encode(), serving)
    assert taken == contract.GenerationRequest(
        prompt="a red fox",
        negative_prompt="blurry",
        num_images=4,
        height=request.size.height,
        width=request.size.width,
        num_inference_steps=3,
        guidance_scale=20.0,
        seed=2**32 - 2,
    )
    assert taken.seeds == request.seeds
    headers = {"x-amzn-sagemaker-custom-attributes": call["CustomAttributes"]}
    assert server.request_id(headers) == "id-1"


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("prompt", "", "prompt"),
        ("num_images", 99, "n"),
        ("height", 8, "size"),
        ("num_inference_steps", 101, "num_inference_steps"),
        ("seed", -1, "seed"),
    ],
)
def test_a_real_refusal_of_the_container_names_the_api_s_field(
    key: str, value: Any, field: str
) -> None:
    serving = ServingConfig.from_env(serving_environment(settings("aws").variant("g5"), "9f2c"))
    with pytest.raises(Refusal) as refusal:
        contract.parse_request(json.dumps({"prompt": "x", key: value}).encode(), serving)
    reply = error_reply(refusal.value)
    runtime = FakeRuntime(fails=model_error(reply.body.decode(), reply.status))
    with pytest.raises(InvalidRequest) as caught:
        endpoint.generate(runtime, generation_request(), "id-1")
    assert caught.value.param == field


def test_the_container_s_real_answer_is_understood() -> None:
    config = serving_fakes.config(SD_SIZES="512x512", SD_MAX_STEPS="25")
    handler = Handler(Engine(serving_fakes.FakeParts(), config), config, serving_fakes.LogDouble())

    class Container:
        def invoke_endpoint(self, **kwargs: Any) -> Any:
            return {"Body": io.BytesIO(handler.respond(Call(kwargs["Body"])).body)}

    generated = endpoint.generate(Container(), generation_request(seeds=(7, 8)), "id-1")
    assert generated.images_in_batch == 2


def test_a_real_not_ready_of_the_container_is_unavailable() -> None:
    reply = error_reply(NotReady("the model is not loaded"))
    runtime = FakeRuntime(fails=model_error(reply.body.decode(), reply.status))
    with pytest.raises(EndpointUnavailable):
        endpoint.generate(runtime, generation_request(), "id-1")
