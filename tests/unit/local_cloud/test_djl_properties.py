"""serving.properties and the environment, as DJL Serving reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_cloud.djl.properties import HostedModel, load_model_settings

ASSETS = Path(__file__).parents[3] / "model_assets"
LOAD_MODELS = {"SERVING_LOAD_MODELS": "djl::DeepSpeed=/djl"}


def settings(tmp_path: Path, text: str = "engine=Python\n", **env: str) -> HostedModel:
    """Of a model of this serving.properties."""
    folder = tmp_path / "djl"
    folder.mkdir()
    (folder / "serving.properties").write_text(text)
    (folder / "model.py").touch()
    return load_model_settings(tmp_path, {**LOAD_MODELS, **env})


def test_options_come_from_the_file_then_from_the_environment(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "# a comment\n\noption.a=file\noption.tensor_parallel_degree=1\n",
        OPTION_A="env",
        OPTION_BATCH_SIZE="9",
        OPTION_EMPTY="",
        X_A="no",
    )
    assert found.options == {"a": "file", "tensor_parallel_degree": "1", "batch_size": "9"}
    assert found.entry_point == "model.py"
    # OPTION_BATCH_SIZE reaches the handler and nobody else.
    assert found.batch_size == 1


def test_defaults_are_djl_s_and_its_image_s(tmp_path: Path) -> None:
    found = settings(tmp_path, SERVING_PREDICT_TIMEOUT="9")  # Not DJL's: nothing reads it.
    assert (found.batch_size, found.max_batch_delay_s) == (1, 0.1)
    assert (found.job_queue_size, found.retry_threshold) == (1000, 10)
    assert (found.predict_timeout_s, found.loading_timeout_s) == (240, 1200)


@pytest.mark.parametrize(
    ("text", "env", "message"),
    [
        ("option.acceleration", {}, "'option.acceleration' is neither engine=value nor option"),
        # DJL would heed it, and not the deploy.
        ("batch_size=2", {}, "'batch_size=2' is neither"),
        ("option.b=1 ", {}, "'option.b=1 ' is neither"),
        ("option.entryPoint=other.py", {}, "option.entryPoint='other.py': no such file"),
        ("", {"SERVING_BATCH_SIZE": "soon"}, "soon"),
        ("", {"SERVING_LOAD_MODELS": ""}, "SERVING_LOAD_MODELS=''"),
        ("", {"SERVING_LOAD_MODELS": "a::Python=/a,b::Python=/b"}, "SERVING_LOAD_MODELS"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, env: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, text, **env)


def test_the_variant_leaves_to_the_environment_what_its_deploy_decides() -> None:
    env = {
        **LOAD_MODELS,
        "SERVING_BATCH_SIZE": "8",
        "SERVING_MAX_BATCH_DELAY": "50",
        "SERVING_JOB_QUEUE_SIZE": "7",
        "MODEL_LOADING_TIMEOUT": "8",
        "OPTION_ACCELERATION": "pytorch",
        "OPTION_ENABLE_CUDA_GRAPH": "true",
        "OPTION_MAX_UNET_ROWS": "2",
    }
    found = load_model_settings(ASSETS, env)
    assert (found.batch_size, found.max_batch_delay_s, found.job_queue_size) == (8, 0.05, 7)
    assert found.loading_timeout_s == 8
    assert found.options == {
        "entryPoint": "model.py",
        "model_id": "/opt/ml/model",
        "tensor_parallel_degree": "1",
        "acceleration": "pytorch",
        "enable_cuda_graph": "true",
        "max_unet_rows": "2",
    }


def test_the_image_points_djl_at_the_variant() -> None:
    dockerfile = (ASSETS / "djl" / "Dockerfile").read_text()
    assert "SERVING_LOAD_MODELS=djl::DeepSpeed=/opt/sd/djl\n" in dockerfile
    assert "COPY djl /opt/sd/djl\n" in dockerfile
