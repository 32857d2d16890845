from __future__ import annotations

from pathlib import Path

import pytest

from djl.options import DjlOptions
from sd_contract.environment import ConfigError


def test_defaults_are_the_accelerated_ones() -> None:
    options = DjlOptions.from_properties({"model_id": "/opt/ml/model", "device_id": "-1"})
    assert options == DjlOptions("deepspeed", False, 16, Path("/opt/ml/model"))
    assert options.max_pictures_per_pass == 8


def test_the_handler_reads_what_a_deploy_writes() -> None:
    written = DjlOptions("deepspeed-or-pytorch", True, 2)
    # As DJL hands them over.
    properties = {
        name.removeprefix("OPTION_").lower(): value for name, value in written.to_env().items()
    }
    assert DjlOptions.from_properties({**properties, "model_id": "/opt/ml/model"}) == written
    # Where there is no DJL.
    env = {**written.to_env(), "SERVING_BATCH_SIZE": "4", "PATH": "/bin"}
    assert DjlOptions.from_env(env, Path("/opt/ml/model")) == written


def test_a_cuda_graph_takes_one_image_at_a_time() -> None:
    options = DjlOptions.from_properties({"model_id": "/m", "enable_cuda_graph": "true"})
    assert (options.cuda_graph, options.max_pictures_per_pass) == (True, 1)


def test_lists_every_mistake() -> None:
    with pytest.raises(ConfigError) as caught:
        DjlOptions.from_properties(
            {
                "acceleration": "tensorrt",
                "enable_cuda_graph": "yes",
                "max_unet_rows": "18",
                "tensor_parallel_degree": 2,  # a number, as DJL hands it over
                "model_id": "s3://bucket/key",
            }
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "option.acceleration='tensorrt'",
        "option.enable_cuda_graph='yes'",
        "option.max_unet_rows='18'",
        "option.tensor_parallel_degree=2",
        "option.model_id='s3",
    ]


@pytest.mark.parametrize("rows", ["0", "3", "two", "", "-2"])
def test_an_image_takes_two_rows(rows: str) -> None:
    with pytest.raises(ConfigError, match="an even number from 2 to 16"):
        DjlOptions.from_properties({"model_id": "/m", "max_unet_rows": rows})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_unet_rows": "4"}, "from 2 to 2 with enable_cuda_graph=true"),
        ({"acceleration": "pytorch"}, "only with DeepSpeed"),
    ],
)
def test_refuses_what_a_graph_excludes(changes: dict[str, str], message: str) -> None:
    properties = {"model_id": "/m", "enable_cuda_graph": "true", **changes}
    with pytest.raises(ConfigError, match=message):
        DjlOptions.from_properties(properties)
