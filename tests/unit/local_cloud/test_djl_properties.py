"""serving.properties and the environment, as DJL Serving reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_cloud.djl.properties import HostedModel, PropertiesError, load_model_settings

ASSETS = Path(__file__).parents[3] / "model_assets"
LOAD_MODELS = {"SERVING_LOAD_MODELS": "djl::DeepSpeed=/djl"}


def settings(tmp_path: Path, text: str = "engine=Python\n", **env: str) -> HostedModel:
    """Of a model of this serving.properties."""
    folder = tmp_path / "djl"
    folder.mkdir()
    (folder / "serving.properties").write_text(text)
    (folder / "model.py").touch()
    return load_model_settings(tmp_path, {**LOAD_MODELS, **env})


def mistakes(tmp_path: Path, text: str, **env: str) -> list[str]:
    with pytest.raises(PropertiesError) as caught:
        settings(tmp_path, text, **env)
    return [problem.split(":")[0] for problem in caught.value.problems]


def test_lists_every_malformed_line(tmp_path: Path) -> None:
    text = "engine\n# ok=1\nengine=Python\noption.ok=2\noption.ok=3\n=x\noption.b=1 \nbatch_size=2"
    assert mistakes(tmp_path, text) == [f"serving.properties line {n}" for n in (1, 5, 6, 7, 8)]


def test_lists_every_impossible_setting(tmp_path: Path) -> None:
    limits = ("SERVING_BATCH_SIZE", "SERVING_JOB_QUEUE_SIZE", "PREDICT_TIMEOUT")
    env = dict(zip(limits, ("0", "-1", "soon"), strict=True))
    text = "engine=Torch\noption.entryPoint=other.py\n"
    assert mistakes(tmp_path, text, **env) == [
        *(f"{name}={value!r}" for name, value in env.items()),
        "engine='Torch'",
        "option.entryPoint='other.py'",
    ]


def test_options_come_from_the_file_then_from_the_environment(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "option.a=file\noption.tensor_parallel_degree=1\n",
        OPTION_A="env",
        OPTION_ENABLE_CUDA_GRAPH="true",
        OPTION_BATCH_SIZE="9",
        OPTION_EMPTY="",
        X_A="no",
    )
    assert found.options == {
        "a": "file",
        "tensor_parallel_degree": "1",
        "enable_cuda_graph": "true",
        "batch_size": "9",
    }
    assert found.entry_point == "model.py"
    # OPTION_BATCH_SIZE reaches the handler and nobody else.
    assert found.batch_size == 1


def test_defaults_are_djl_s_and_its_image_s(tmp_path: Path) -> None:
    found = settings(tmp_path, SERVING_PREDICT_TIMEOUT="9")  # Not DJL's: nothing reads it.
    # The engine of the model's URL wins.
    assert (found.engine, found.batch_size, found.max_batch_delay_ms) == ("DeepSpeed", 1, 100)
    assert (found.job_queue_size, found.retry_threshold) == (1000, 10)
    assert (found.predict_timeout_s, found.loading_timeout_s) == (240, 1200)


def test_a_folder_without_properties_is_named(tmp_path: Path) -> None:
    with pytest.raises(PropertiesError, match=r"serving\.properties is missing"):
        load_model_settings(tmp_path, LOAD_MODELS)


@pytest.mark.parametrize("value", ["", "a::Python=/a,b::Python=/b", "/models/sd", "m=/m"])
def test_hosts_exactly_one_model(value: str) -> None:
    with pytest.raises(PropertiesError, match="SERVING_LOAD_MODELS"):
        load_model_settings(ASSETS, {"SERVING_LOAD_MODELS": value})


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
    assert (found.batch_size, found.max_batch_delay_ms, found.job_queue_size) == (8, 50, 7)
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
