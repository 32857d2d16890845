"""The whole app on the local cloud, g5 variant: as a user has it after `make up`."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import httpx
import pytest

from local_cloud.__main__ import main
from local_cloud.picture import png_size
from model_assets.tiny.picture_check import describe, expected
from tests.local.support import builds, deploy
from tests.local.up_cloud import UpCloud, UpFailed

pytestmark = pytest.mark.local
PROMPT = "a red circle on a white background"
# Where only bytes count, few steps will do.
QUICK: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": 3}


def test_it_prints_what_to_paste_and_writes_local_json(up: UpCloud) -> None:
    assert up.facts["api_url"].endswith("/v1")
    assert up.facts["models"] == ["g5"]
    assert "{stack}" in up.facts["deploy_command"]
    assert up.facts["api_url"] in up.printed
    assert up.facts["api_key"] in up.printed
    assert (up.out / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_the_pasted_curl_line_gives_a_url_and_the_url_a_png_of_the_size_asked_for(
    up: UpCloud,
) -> None:
    line = next(line for line in up.printed.splitlines() if line.startswith("curl "))
    if shutil.which("curl"):
        output = subprocess.run(line, shell=True, capture_output=True, check=True, text=True).stdout
        answer = json.loads(output)
    else:
        answer = up.generate(prompt=PROMPT).json()

    reply = httpx.get(answer["data"][0]["url"])
    assert png_size(reply.content) == (64, 64)
    assert reply.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    "prompt", [PROMPT, "a blue square on a yellow background", "green triangle, black background"]
)
def test_the_picture_is_what_the_prompt_says(up: UpCloud, prompt: str) -> None:
    assert describe(up.pictures(prompt=prompt, seed=3)[0]) == expected(prompt)


def test_the_same_seed_gives_the_same_bytes_and_another_another_picture(up: UpCloud) -> None:
    first, again, other = (up.pictures(seed=seed, **QUICK)[0] for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_two_pictures_have_the_seeds_s_and_s_plus_one_and_equal_each_made_alone(
    up: UpCloud,
) -> None:
    seed = 2**32 - 1

    both = up.generate(seed=seed, n=2, **QUICK).json()["data"]

    assert [item["seed"] for item in both] == [seed, 0]
    assert up.pictures(seed=seed, n=2, **QUICK) == [
        up.pictures(seed=seed, **QUICK)[0],
        up.pictures(seed=0, **QUICK)[0],
    ]


@pytest.mark.parametrize(
    ("body", "status", "param", "said"),
    [
        ({"prompt": PROMPT, "colour": "red"}, 400, "colour", "colour"),
        ({"prompt": PROMPT, "n": 5}, 400, "n", "4"),
        ({"prompt": PROMPT, "size": "512x512"}, 400, "size", "64x64"),
        ({"prompt": PROMPT, "model": "h100"}, 404, "model", "h100"),
        (b'{"prompt": ', 400, None, "JSON"),
        (b'{"prompt": "' + b"x" * 40_000 + b'"}', 413, None, "bytes"),
    ],
)
def test_bad_input_is_refused_with_the_field_and_its_range(
    up: UpCloud, body: Any, status: int, param: str | None, said: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = up.send(up.api.request("/images/generations", content=content))

    assert reply.status_code == status
    assert reply.json()["error"]["param"] == param
    assert said in reply.json()["error"]["message"]
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_key_nothing_is_answered(up: UpCloud, key: str) -> None:
    request = replace(up.api, key=key).models()
    if not key:
        del request.headers["x-api-key"]
    reply = up.send(request)
    assert reply.status_code in (401, 403)
    assert reply.json()["error"]["type"] == "authentication_error"


def test_the_endpoint_answers_the_usual_clients(up: UpCloud) -> None:
    endpoint = up.client("sagemaker").describe_endpoint(EndpointName="sd-g5")
    assert endpoint["EndpointStatus"] == "InService"

    answer = up.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="sd-g5",
        Body=json.dumps({"prompt": PROMPT, "seed": 1}),
        ContentType="application/json",
        Accept="image/png",
    )
    assert answer["Body"].read().startswith(b"\x89PNG")


def test_a_second_deploy_builds_nothing(up: UpCloud) -> None:
    before = builds(up)

    deploy(up, "SdG5Stack")

    assert builds(up) == before


def test_a_model_that_cannot_load_fails_the_deploy_with_its_reason_and_the_old_one_serves_on(
    up: UpCloud,
) -> None:
    with pytest.raises(UpFailed) as caught:
        deploy(up, "SdG5Stack", "sd.variants.g5.dtype=float16")

    assert "FATAL: SD_DTYPE=float16 needs a GPU" in str(caught.value)
    assert up.client("sagemaker").describe_endpoint(EndpointName="sd-g5")["FailureReason"]
    assert describe(up.pictures(prompt=PROMPT, seed=3)[0]) == expected(PROMPT)


def test_a_destroyed_variant_vanishes_at_once_and_comes_back_without_a_build(up: UpCloud) -> None:
    up.deploy("SdG5Stack", "sd.api.cache_ttl_s=3600")  # no destroy takes as long
    assert up.generate(**QUICK).status_code == 200
    up.destroy("SdG5Stack")
    # Before the models are listed, which would read the registrations anew.
    assert up.generate(**QUICK).status_code == 404
    assert "g5" not in up.models()
    before = builds(up)

    deploy(up, "SdG5Stack")

    assert "g5" in up.models()
    assert builds(up) == before
    assert up.pictures(**QUICK)


def test_the_port_in_use_is_a_sentence_that_says_what_to_do(
    up: UpCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SD_OUT", str(up.out / "second"))
    monkeypatch.setenv("SD_LOCAL_PORT", str(up.port))
    assert main(["smoke"]) == 1
    assert "SD_LOCAL_PORT=" in capsys.readouterr().err
