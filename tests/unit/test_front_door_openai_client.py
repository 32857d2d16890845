"""OpenAI's own Python client with nothing but a URL and a key: its calls, its types, its errors,
and what it sends again."""

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from sd_contract.embeddings import floats
from tests.fakes.front_door import (
    PNG,
    FakeParameterStore,
    FakeRuntime,
    World,
    get,
    no_answer,
    post,
    registration,
    vectors_of,
)
from tests.fakes.wsgi_gateway import KEY, served
from tests.unit.test_front_door_errors import FAILURES, MISTAKES


@pytest.fixture
def world() -> World:
    return World(ssm=FakeParameterStore({"g5": registration(), "inf2": registration("inf2")}))


@pytest.fixture
def client(world: World) -> Iterator[OpenAI]:
    with served(world.respond) as url, OpenAI(base_url=url, api_key=KEY) as client:
        yield client


def test_generate(client: OpenAI) -> None:
    answer = client.images.generate(
        model="inf2",
        prompt="a red fox",
        n=2,
        size="auto",
        quality="auto",
        background="opaque",
        moderation="low",
        output_format="webp",
        output_compression=80,
        response_format="b64_json",
        stream=False,
        partial_images=0,
        user="me",
        extra_body={"seed": 7, "num_inference_steps": 30},
    )
    assert answer.data
    assert [base64.b64decode(image.b64_json or "") for image in answer.data] == [b"RIFF7", b"RIFF8"]
    assert (answer.size, answer.output_format, answer.background) == ("512x512", "webp", "opaque")
    assert answer.usage
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 0)
    assert answer.usage.input_tokens_details.text_tokens == 7
    # Their types hold to what they declare.
    assert type(answer).model_validate(answer.model_dump()) == answer


def test_edit(client: OpenAI, world: World) -> None:
    answer = client.images.edit(
        image=io.BytesIO(PNG + b"a fox"),
        mask=("mask.png", PNG + b"a mask", "image/png"),
        prompt="a white fox",
        n=1,
        quality="auto",
        extra_body={"strength": 0.5, "seed": 7},
    )
    assert answer.data
    assert answer.data[0].url
    sent = world.runtime.invocations[0]["Body"]
    assert base64.b64decode(sent["image"]) == PNG + b"a fox"
    assert base64.b64decode(sent["mask"]) == PNG + b"a mask"
    assert (sent["strength"], sent["seed"]) == (0.5, 7)


def test_edit_of_a_list_of_one(client: OpenAI, world: World) -> None:
    client.images.edit(image=[PNG], prompt="x")
    assert base64.b64decode(world.runtime.invocations[0]["Body"]["image"]) == PNG
    with pytest.raises(openai.BadRequestError, match="image: one picture, not more"):
        client.images.edit(image=[PNG, PNG], prompt="x")


def test_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["g5", "inf2"]
    model = client.models.retrieve("inf2")
    assert (model.id, model.object, model.owned_by) == ("inf2", "model", "sd2-community")


CALLS: list[tuple[Callable[[OpenAI], Any], type[openai.APIStatusError], str]] = [
    (lambda c: c.images.generate(prompt=""), openai.BadRequestError, "out_of_range"),
    (lambda c: c.images.generate(prompt="x", style="vivid"), openai.BadRequestError, "unsupported"),
    (lambda c: c.images.edit(image=b"", prompt="x"), openai.BadRequestError, "out_of_range"),
    (lambda c: c.images.generate(prompt="x", model="m"), openai.NotFoundError, "model_not_found"),
    (lambda c: c.models.retrieve("m"), openai.NotFoundError, "model_not_found"),
    (lambda c: c.models.delete("g5"), openai.APIStatusError, "method_not_allowed"),
    (lambda c: c.moderations.create(input="x"), openai.NotFoundError, "not_found"),
]


@pytest.mark.parametrize(("call", "error", "code"), CALLS)
def test_refusals_are_its_own_errors(
    client: OpenAI,
    call: Callable[[OpenAI], Any],
    error: type[openai.APIStatusError],
    code: str,
) -> None:
    with pytest.raises(error) as caught:
        call(client)
    assert caught.value.code == code
    assert caught.value.request_id


def test_a_wrong_key_is_its_authentication_error(client: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="No valid API key"):
        client.with_options(api_key="wrong").models.list()


def test_what_has_cost_something_is_not_sent_again(client: OpenAI, world: World) -> None:
    world.runtime.fails = no_answer("could not get a response")
    with pytest.raises(openai.InternalServerError) as caught:
        client.images.generate(prompt="x")
    assert caught.value.code == "model_interrupted"
    assert len(world.runtime.invocations) == 1


def again(world: World, event: dict[str, Any]) -> bool:
    status, headers, _ = world.send(event)
    return OpenAI(api_key=KEY)._should_retry(httpx2.Response(status, headers=headers))


@pytest.mark.parametrize(("part", "error", "expected"), [(*row[:2], row[4]) for row in FAILURES])
def test_it_sends_again_just_what_may_succeed_and_cost_nothing(
    part: str, error: Exception, expected: bool
) -> None:
    world = World()
    getattr(world, part).fails = error
    assert again(world, post({"prompt": "x"})) is expected


@pytest.mark.parametrize("event", [event for event, *_ in MISTAKES])
def test_it_never_sends_a_mistake_again(event: dict[str, Any]) -> None:
    assert not again(World(), event)


def test_a_listing_that_failed_may_be_sent_again() -> None:
    world = World(runtime=FakeRuntime())
    world.ssm.fails = RuntimeError("no")
    assert again(world, get("/models"))


def test_embeddings_in_the_base64_that_the_client_asks_for_itself(
    client: OpenAI, world: World
) -> None:
    texts = ["a red heart", "two blue stars"]
    answer = client.embeddings.create(model="inf2", input=texts)
    assert [each.index for each in answer.data] == [0, 1]
    packed = (base64.b64decode(vector) for vector in vectors_of(texts)["vectors"])
    assert [each.embedding for each in answer.data] == [
        pytest.approx(floats(vector)) for vector in packed
    ]
    assert (answer.model, answer.usage.prompt_tokens) == ("inf2", 25)
    assert world.runtime.invocations[0]["EndpointName"] == "sd-inf2"
    assert type(answer).model_validate(answer.model_dump()) == answer
    plain = client.embeddings.create(model="inf2", input=texts[0], encoding_format="float")
    assert plain.data[0].embedding == answer.data[0].embedding
