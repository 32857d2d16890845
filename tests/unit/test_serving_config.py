from __future__ import annotations

from pathlib import Path

import pytest

from sd_contract.environment import EXACT, Batching, ConfigError, ServingEnvironment
from sd_contract.sampling import Sampling
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from tests.fakes.serving import ENV, config


def problems(**env: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config(**env)
    return caught.value.problems


def test_reads_every_variable() -> None:
    read = config(
        SD_DTYPE="bfloat16",
        SD_LOADER="g5.inference:load",
        SM_MODEL_DIR="/models/x",
        SD_BIND_HOST="127.0.0.1",
        SAGEMAKER_BIND_TO_PORT="9000",
        SD_NEURON_SDK="2.26.0",
        SD_COMPILE_BACKEND="torchscript",
    )
    assert read == ServingConfig(
        variant="fake",
        artifact_key="key-of-the-weights",
        sizes=(Size(64, 64), Size(64, 128)),
        modes={"standard": Sampling(5), "fast": Sampling(4, "karras", 0.5)},
        default_guidance_scale=7.5,
        dtype="bfloat16",
        loader="g5.inference:load",
        model_dir=Path("/models/x"),
        host="127.0.0.1",
        port=9000,
        neuron_sdk="2.26.0",
        compile_backend="torchscript",
    )


def test_a_container_reads_what_a_deploy_writes() -> None:
    told = ServingEnvironment(
        "inf2",
        "k",
        (Size(512, 768), Size(64, 64)),
        {"standard": Sampling(5), "fast": Sampling(4, "ays", 0.8, 2)},
        7.5,
        "bfloat16",
        "2.26.0",
        "neuronx",
    )
    assert ServingConfig.from_env(told.to_env()) == ServingConfig(**vars(told))


def test_a_container_takes_requests_together_as_a_deploy_says() -> None:
    assert config(**Batching(4, 100).to_env()).batching == Batching(4, 100)
    assert EXACT.to_env() == {}
    assert config().batching == EXACT


def test_what_sagemaker_leaves_out_has_its_documented_default() -> None:
    read = config()
    assert (read.model_dir, read.port, read.dtype) == (Path("/opt/ml/model"), 8080, "auto")


def test_an_empty_environment_lists_every_required_variable() -> None:
    with pytest.raises(ConfigError) as caught:
        ServingConfig.from_env({})
    named = {problem.split(" is missing")[0] for problem in caught.value.problems}
    assert named == {*ENV}


def test_several_mistakes_come_in_one_error_with_values_and_ranges() -> None:
    found = problems(SD_MODES='{"standard":{"steps":0}}', SD_DTYPE="float8", SD_SIZES="512")
    assert found == (
        "SD_SIZES='512': sizes like \"512x512,768x768\", each once",
        'SD_MODES=\'{"standard":{"steps":0}}\': a JSON object of standard and fast, the first '
        "required, each with steps, sigmas, guidance_until and deep_cache in their ranges",
        "SD_DTYPE='float8': one of auto, float16, bfloat16, float32",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SD_SIZES", "0x0"),
        ("SD_SIZES", "60x64"),
        ("SD_SIZES", "64x64,"),
        ("SD_SIZES", "64x64,64x64"),
        ("SD_SIZES", "99999999999x8"),
        ("SD_DEFAULT_GUIDANCE", "nan"),
        ("SD_DEFAULT_GUIDANCE", "0.5"),
        ("SD_MODES", "5"),
        ("SD_MODES", '{"standard":'),
        ("SD_MODES", '{"fast":{"steps":5}}'),
        ("SD_MODES", '{"standard":{"steps":5},"best":{"steps":50}}'),
        ("SD_MODES", '{"standard":5}'),
        ("SD_COMPILE_BACKEND", "onnx"),
        ("SAGEMAKER_BIND_TO_PORT", "65536"),
        ("SD_MAX_BATCH_SIZE", "0"),
        ("SD_MAX_BATCH_SIZE", "17"),
        ("SD_MAX_BATCH_DELAY_MS", "60001"),
        ("SD_MODES", '{"standard":{"steps":101}}'),
        ("SD_DEFAULT_GUIDANCE", "21"),
        ("SD_VARIANT", "  "),
    ],
)
def test_refuses_one_bad_value_by_name(name: str, value: str) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(name)
