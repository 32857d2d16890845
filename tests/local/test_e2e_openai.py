"""OpenAI's own clients, Python's and Node's, against the whole app with nothing but URL and key."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from local_cloud.node import NODE_FOLDER
from local_cloud.settings import REPOSITORY
from model_assets.tiny.picture_check import describe, expected
from tests.fakes.recolouring import BLUE, red_circle
from tests.local.up_cloud import UpCloud

pytestmark = pytest.mark.local
RED_PROMPT = "a red circle on a white background"
BLUE_PROMPT = "a blue circle on a white background"


@pytest.fixture
def client(up: UpCloud) -> Iterator[OpenAI]:
    with OpenAI(base_url=up.api.url, api_key=up.api.key) as client:
        yield client


def picture(answer: Any) -> bytes:
    return base64.b64decode(answer.data[0].b64_json)


def test_generate(client: OpenAI) -> None:
    answer = client.images.generate(
        prompt=RED_PROMPT, size="auto", response_format="b64_json", extra_body={"seed": 3}
    )
    assert describe(picture(answer)) == expected(RED_PROMPT)
    assert answer.usage
    assert answer.usage.input_tokens > 0


def test_prompts_that_would_be_drawn_alike_are_near(client: OpenAI) -> None:
    texts = [RED_PROMPT, "a red circle on white", "two green stars on a black background"]
    answer = client.embeddings.create(model="g5", input=texts)
    red, same, other = (each.embedding for each in answer.data)

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert cosine(red, red) == pytest.approx(1)
    assert cosine(red, same) > cosine(red, other)


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_a_masked_edit_recolours_a_picture(client: OpenAI, output_format: Any) -> None:
    image, mask = red_circle(3)
    answer = client.images.edit(
        image=image,
        mask=mask,
        prompt=BLUE_PROMPT,
        output_format=output_format,
        response_format="b64_json",
        extra_body={"seed": 3},
    )
    assert answer.output_format == output_format
    assert describe(picture(answer)) == BLUE


def test_a_picture_made_here_is_edited_by_its_url(client: OpenAI, up: UpCloud) -> None:
    drawn = client.images.generate(prompt=RED_PROMPT, extra_body={"seed": 3})
    assert drawn.data
    fields = {"prompt": RED_PROMPT, "image": drawn.data[0].url, "strength": 0}
    reply = up.send(up.api.request("/images/edits", json=fields))
    assert reply.status_code == 200, reply.text
    again = httpx.get(reply.json()["data"][0]["url"]).content
    assert describe(again) == expected(RED_PROMPT)
    assert reply.json()["warnings"][0].startswith("strength: ")


def test_models_and_its_own_errors(client: OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert "g5" in listed
    assert client.models.retrieve("g5").id == "g5"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("h100")
    with pytest.raises(openai.BadRequestError, match=r"^.*image: "):
        client.images.edit(image=b"no picture", prompt="x")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()


def test_the_document_is_served_and_other_methods_are_refused(up: UpCloud) -> None:
    found = up.send(up.api.request("/openapi.json")).json()
    assert found["servers"] == [{"url": found["servers"][0]["url"]}]
    assert "64x64" in json.dumps(found["components"]["schemas"]["GenerationRequest"])
    reply = httpx.put(f"{up.api.url}/models", headers={"x-api-key": up.api.key}, timeout=30)
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET")


def test_node_s_client(up: UpCloud, tmp_path: Path) -> None:
    image, mask = red_circle(3)
    (tmp_path / "image.png").write_bytes(image)
    (tmp_path / "mask.png").write_bytes(mask)
    script = Path(__file__).with_name("openai_client.mjs")
    files = [str(tmp_path / name) for name in ("image.png", "mask.png")]
    ran = subprocess.run(
        [f"{NODE_FOLDER}/node", str(script), up.api.url, up.api.key, *files, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert describe((tmp_path / "drawn.png").read_bytes()) == expected(RED_PROMPT)
    assert describe((tmp_path / "edited.png").read_bytes()) == BLUE
    assert "g5" in said["models"]
    assert said["retrieved"] == said["models"][0]
    assert said["errors"] == [
        ["BadRequestError", "out_of_range"],
        ["NotFoundError", "model_not_found"],
        ["AuthenticationError", "invalid_api_key"],
    ]
