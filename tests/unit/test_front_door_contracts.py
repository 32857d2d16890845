"""The front door agrees with what the stacks register and what the containers take."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from front_door import endpoint
from front_door.errors import EndpointUnavailable, InvalidRequest
from front_door.generation import GENERATION, complete, parse_fields
from front_door.picture_time import PictureTimes
from front_door.time_limit import check_time
from sd_contract.fields import IMAGES, NEGATIVE_PROMPT, PROMPT
from sd_contract.invocation import Invocation
from sd_contract.registration import Built, Registration
from sd_serving import server
from sd_serving.config import ServingConfig
from sd_serving.engine import Engine
from sd_serving.errors import NotReady
from sd_serving.handler import Call, Handler, error_reply
from stacks.serving_environment import registration, serving_environment
from stacks.settings import ROOT, Settings, load
from tests.fakes import serving as serving_fakes
from tests.fakes.front_door import CONFIG, FakeRuntime, generation_request, model_error

SERVED: Any = SimpleNamespace(artifact_key="9f2c", revision="4e63")
VARIANTS = ("g5", "djl", "inf2")
CONTEXTS: dict[str, dict[str, str]] = {"aws": {}, "local": {"profile": "local"}}


def settings(profile: str) -> Settings:
    return load(json.loads((ROOT / "cdk.json").read_text())["context"] | CONTEXTS[profile])


def registered(profile: str, name: str) -> Registration:
    app = settings(profile)
    built = '{"base_image_digest":"sha256:0","quality":null}'
    return Registration.from_json(registration(app, app.variant(name), SERVED, built, "c"))


@pytest.mark.parametrize("profile", CONTEXTS)
@pytest.mark.parametrize("name", VARIANTS)
def test_what_the_stacks_register_is_served_at_its_defaults(profile: str, name: str) -> None:
    variant = registered(profile, name)
    assert (variant.name, variant.built) == (name, Built("sha256:0", None))
    assert variant.max_images == IMAGES.high
    fields = parse_fields({"prompt": "a red fox", "n": variant.max_images}, GENERATION)
    request = complete(fields, variant, lambda: 0)
    check_time(request, PictureTimes(lambda: 0).of(request), CONFIG.endpoint_timeout_s)


def test_what_the_study_could_draw_at_50_steps_isn_t_refused() -> None:
    """3.91 s an image at 50 steps: four at 83 steps are 26 s. Taken as 25 steps it was 41."""
    request = generation_request(registered("aws", "g5"), num_images=4, num_inference_steps=80)
    check_time(request, PictureTimes(lambda: 0).of(request), CONFIG.endpoint_timeout_s)


def test_the_longest_legal_body_passes() -> None:
    # As a client sends it that escapes all but ASCII: twelve bytes for a character such as this.
    assert PROMPT.high
    assert NEGATIVE_PROMPT.high
    body = {"prompt": "🦊" * PROMPT.high, "negative_prompt": "🦊" * NEGATIVE_PROMPT.high}
    for profile in CONTEXTS:
        assert len(json.dumps(body)) + 500 <= settings(profile).api.max_body_bytes


@pytest.mark.parametrize("profile", CONTEXTS)
@pytest.mark.parametrize("name", VARIANTS)
def test_the_container_takes_what_is_sent(profile: str, name: str) -> None:
    app = settings(profile)
    told = ServingConfig.from_env(serving_environment(app.variant(name), "9f2c"))
    variant = registered(profile, name)
    assert variant.sizes == told.sizes
    assert {k: mode.sampling for k, mode in variant.served_modes.items()} == told.modes
    assert variant.default_steps == told.modes["standard"].steps
    body = {
        "prompt": "a red fox",
        "negative_prompt": "blurry",
        "n": 4,
        "num_inference_steps": 3,
        "guidance_scale": 20,
        "seed": 2**32 - 2,
    }
    request = complete(parse_fields(body, GENERATION), variant, lambda: 0)
    runtime = FakeRuntime()
    endpoint.generate(runtime, request, "id-1")
    [call] = runtime.invocations
    sent = json.dumps(call["Body"]).encode()
    assert Invocation.from_json(sent, told) == request.invocation
    headers = {"x-amzn-sagemaker-custom-attributes": call["CustomAttributes"]}
    assert server.request_id(headers) == "id-1"


def container() -> Handler:
    config = serving_fakes.config(SD_SIZES="512x512")
    return Handler(Engine(serving_fakes.FakeParts(), config), config, serving_fakes.LogDouble())


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
    reply = container().respond(Call(json.dumps({"prompt": "x", key: value}).encode()))
    runtime = FakeRuntime(fails=model_error(reply.body.decode(), reply.status))
    with pytest.raises(InvalidRequest) as caught:
        endpoint.generate(runtime, generation_request(), "id-1")
    assert caught.value.param == field


def test_pictures_that_the_container_can_t_send_are_the_caller_s_to_mend() -> None:
    config = serving_fakes.config(SD_SIZES="512x512")
    engine = Engine(serving_fakes.FakeParts(), config)
    tight = Handler(engine, config, serving_fakes.LogDouble(), max_answer_bytes=100)
    reply = tight.respond(Call(json.dumps({"prompt": "x"}).encode()))
    runtime = FakeRuntime(fails=model_error(reply.body.decode(), reply.status))
    with pytest.raises(InvalidRequest, match=r"^n: the answer has \d+ bytes") as caught:
        endpoint.generate(runtime, generation_request(), "id-1")
    assert (caught.value.param, caught.value.code) == ("n", "response_too_large")


def test_the_container_s_real_answer_is_understood() -> None:
    class Container:
        def invoke_endpoint(self, **kwargs: Any) -> Any:
            return {"Body": io.BytesIO(container().respond(Call(kwargs["Body"])).body)}

    request = generation_request(num_images=2, num_inference_steps=9)
    answer = endpoint.generate(Container(), request, "id-1")
    assert (answer.seeds, answer.images_in_batch) == ((7, 8), 2)


def test_a_real_not_ready_of_the_container_is_unavailable() -> None:
    reply = error_reply(NotReady("the model is not loaded"))
    runtime = FakeRuntime(fails=model_error(reply.body.decode(), reply.status))
    with pytest.raises(EndpointUnavailable, match="engine_error: the model is not loaded"):
        endpoint.generate(runtime, generation_request(), "id-1")
