from __future__ import annotations

from pathlib import Path

import pytest

from local_cloud.djl_properties import (
    HostedModel,
    PropertiesError,
    load_settings,
    parse_load_models,
)

FOLDER = Path(__file__).parents[2] / "model_assets" / "djl"


def folder(tmp_path: Path, text: str) -> Path:
    (tmp_path / "serving.properties").write_text(text)
    (tmp_path / "model.py").touch()
    return tmp_path


def test_lists_every_malformed_line(tmp_path: Path) -> None:
    lines = "engine\n# ok=1\nengine=Python\nok=2\nok=3\n=x\nb=1 \n"
    with pytest.raises(PropertiesError) as caught:
        load_settings(folder(tmp_path, lines), {})
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "serving.properties line 1",
        "serving.properties line 5",
        "serving.properties line 6",
        "serving.properties line 7",
    ]


def test_options_come_from_the_file_then_from_the_environment(tmp_path: Path) -> None:
    settings = load_settings(
        folder(tmp_path, "engine=DeepSpeed\noption.a=file\noption.tensor_parallel_degree=1\n"),
        {"OPTION_A": "env", "OPTION_ENABLE_CUDA_GRAPH": "true", "OPTION_EMPTY": "", "X_A": "no"},
    )
    assert settings.engine == "DeepSpeed"
    assert settings.options == {
        "a": "file",
        "tensor_parallel_degree": "1",
        "enable_cuda_graph": "true",
    }
    assert settings.entry_point == "model.py"


def test_batching_comes_from_the_file_then_from_serving_variables(tmp_path: Path) -> None:
    env = {"SERVING_BATCH_SIZE": "4", "SERVING_MAX_BATCH_DELAY": "0", "OPTION_BATCH_SIZE": "9"}
    settings = load_settings(folder(tmp_path, "engine=Python\n"), env)
    # OPTION_BATCH_SIZE reaches the handler and nobody else.
    assert (settings.batch_size, settings.options["batch_size"]) == (4, "9")
    assert (settings.max_batch_delay_ms, settings.job_queue_size) == (0, 1000)
    assert load_settings(folder(tmp_path, "engine=Python\nbatch_size=2\n"), env).batch_size == 2


def test_batching_defaults_are_djl_s(tmp_path: Path) -> None:
    settings = load_settings(folder(tmp_path, "engine=Python\n"), {})
    assert (settings.batch_size, settings.max_batch_delay_ms) == (1, 100)


def test_limits_are_the_image_s_or_the_environment_s(tmp_path: Path) -> None:
    made = folder(tmp_path, "engine=Python\n")
    settings = load_settings(made, {})
    assert (settings.predict_timeout_s, settings.loading_timeout_s) == (240, 1200)
    assert settings.retry_threshold == 10
    env = {
        "PREDICT_TIMEOUT": "7",
        "MODEL_LOADING_TIMEOUT": "8",
        "SERVING_RETRY_THRESHOLD": "0",
        # Not DJL's: nothing reads it.
        "SERVING_PREDICT_TIMEOUT": "9",
    }
    settings = load_settings(made, env)
    assert (settings.predict_timeout_s, settings.loading_timeout_s) == (7, 8)
    assert settings.retry_threshold == 0


def test_the_engine_of_the_model_url_wins(tmp_path: Path) -> None:
    assert load_settings(folder(tmp_path, "engine=Python\n"), {}, "MPI").engine == "MPI"


def test_lists_every_impossible_setting(tmp_path: Path) -> None:
    with pytest.raises(PropertiesError) as caught:
        load_settings(
            folder(
                tmp_path,
                "engine=Torch\nbatch_size=0\nmax_batch_delay=soon\noption.entryPoint=other.py\n",
            ),
            {"SERVING_JOB_QUEUE_SIZE": "-1", "PREDICT_TIMEOUT": "0"},
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "batch_size='0'",
        "max_batch_delay='soon'",
        "SERVING_JOB_QUEUE_SIZE='-1'",
        "PREDICT_TIMEOUT='0'",
        "engine='Torch'",
        "option.entryPoint='other.py'",
    ]


def test_a_folder_without_properties_is_named(tmp_path: Path) -> None:
    with pytest.raises(PropertiesError, match=r"serving\.properties is missing"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize("value", ["", "a::Python=/a,b::Python=/b", "/models/sd", "m=/m"])
def test_hosts_exactly_one_model(value: str) -> None:
    with pytest.raises(PropertiesError, match="SERVING_LOAD_MODELS"):
        parse_load_models(value)


def test_the_variant_leaves_to_the_environment_what_its_deploy_decides() -> None:
    env = {
        "SERVING_BATCH_SIZE": "8",
        "SERVING_MAX_BATCH_DELAY": "50",
        "SERVING_JOB_QUEUE_SIZE": "7",
        "OPTION_ACCELERATION": "pytorch",
        "OPTION_ENABLE_CUDA_GRAPH": "true",
        "OPTION_MAX_UNET_ROWS": "2",
    }
    settings = load_settings(FOLDER, env)
    assert (settings.batch_size, settings.max_batch_delay_ms) == (8, 50)
    assert settings.job_queue_size == 7
    assert settings.options == {
        "entryPoint": "model.py",
        "model_id": "/opt/ml/model",
        "tensor_parallel_degree": "1",
        "acceleration": "pytorch",
        "enable_cuda_graph": "true",
        "max_unet_rows": "2",
    }


def test_the_image_points_djl_at_the_variant() -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text()
    (line,) = [line for line in dockerfile.splitlines() if "SERVING_LOAD_MODELS=" in line]
    model = parse_load_models(line.split("SERVING_LOAD_MODELS=")[1])
    assert model == HostedModel("djl", Path("/opt/sd/djl"), "DeepSpeed")
    assert f"COPY djl {model.folder}" in dockerfile
    assert load_settings(FOLDER, {}).engine == model.engine
