"""The endpoints: what runs where, from which files, and that the other side understands it."""

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aws_cdk.assertions import Match

from djl.options import DjlOptions
from g5.options import DiffusersOptions
from sd_contract.registration import Registration, Stopped, start_command
from sd_contract.sampling import LINSPACE, MODES
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from stacks.catalogue.prices import Price, read_prices
from stacks.serving_environment import registration
from stacks.settings import ROOT, load
from tests.infrastructure.support import ENDPOINT_STACKS as STACKS
from tests.infrastructure.support import Resource, Synthesized, text_of
from tests.infrastructure.test_aws_models import SIZES

MODEL, CONFIG = "AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig"
ENDPOINT, PARAMETER = "AWS::SageMaker::Endpoint", "AWS::SSM::Parameter"
POLICY = "AWS::IAM::Policy"
BUILT = {"base_image_digest": f"sha256:{'d' * 64}", "quality": {"longest": "x" * 585}}
"""As long as lambda/endpoint_check lets it be."""


def production_variant(aws: Synthesized, name: str) -> Resource:
    (found,) = aws.only(STACKS[name], CONFIG)["Properties"]["ProductionVariants"]
    return dict(found)


def container(aws: Synthesized, name: str) -> Resource:
    return dict(aws.only(STACKS[name], MODEL)["Properties"]["PrimaryContainer"])


def parameter(aws: Synthesized, name: str, folder: str = "variants") -> Resource:
    named = {"Name": f"/sd/{folder}/{name}"}
    return dict(aws.only(STACKS[name], PARAMETER, named)["Properties"])


def registered(aws: Synthesized, name: str) -> str:
    """As it will be, once the check has said what the endpoint was built from."""
    value = text_of(parameter(aws, name)["Value"])
    return re.sub(r"<\w+\.Built>", json.dumps(BUILT), value)


@pytest.mark.parametrize(
    ("name", "instance", "ami", "startup_s"),
    [
        ("g5", "ml.g5.xlarge", "al2-ami-sagemaker-inference-gpu-3-1", 900),
        ("djl", "ml.g5.xlarge", "al2-ami-sagemaker-inference-gpu-2-1", 1500),
        ("inf2", "ml.inf2.xlarge", "al2-ami-sagemaker-inference-neuron-2", 1800),
    ],
)
def test_each_variant_runs_on_its_hardware_with_a_driver_that_fits(
    aws: Synthesized, name: str, instance: str, ami: str, startup_s: int
) -> None:
    found = production_variant(aws, name)
    assert found["ModelDataDownloadTimeoutInSeconds"] >= 900
    expected = {
        "InstanceType": instance,
        "InferenceAmiVersion": ami,
        "ContainerStartupHealthCheckTimeoutInSeconds": startup_s,
        "InitialInstanceCount": 1,
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }
    assert expected.items() <= found.items()


def test_the_container_has_no_network(aws: Synthesized, variant: str) -> None:
    assert aws.resources(STACKS[variant], MODEL, {"EnableNetworkIsolation": True})


@pytest.mark.parametrize(
    ("name", "below"), [("g5", "weights"), ("djl", "weights"), ("inf2", "compiled")]
)
def test_the_model_is_an_uncompressed_prefix_named_by_its_content(
    aws: Synthesized, name: str, below: str
) -> None:
    source = container(aws, name)["ModelDataSource"]["S3DataSource"]
    assert (source["S3DataType"], source["CompressionType"]) == ("S3Prefix", "None")
    prefix = re.fullmatch(rf"s3://<[^>]+>/{below}/([0-9a-f]{{64}})/", text_of(source["S3Uri"]))
    assert prefix
    assert container(aws, name)["Environment"]["SD_ARTIFACT_KEY"] == prefix[1]


def test_the_image_is_ours_under_its_content_key(aws: Synthesized, variant: str) -> None:
    assert re.search(r":[0-9a-f]{64}$", text_of(container(aws, variant)["Image"]))


def test_model_and_config_have_no_names_so_that_changes_can_replace_them(
    aws: Synthesized, variant: str
) -> None:
    stack = STACKS[variant]
    assert aws.resources(stack, MODEL, {"ModelName": Match.absent()})
    assert aws.resources(stack, CONFIG, {"EndpointConfigName": Match.absent()})
    assert aws.resources(stack, ENDPOINT, {"EndpointName": f"sd-{variant}"})


@pytest.mark.parametrize("name", ["g5", "djl"])
def test_the_model_waits_for_its_image_and_permissions(aws: Synthesized, name: str) -> None:
    stack = STACKS[name]
    model = aws.only(stack, MODEL)
    ready, _ = aws.one(stack, "AWS::CloudFormation::WaitCondition")
    role = {"Ref": model["Properties"]["ExecutionRoleArn"]["Fn::GetAtt"][0]}
    (policy,) = (
        name
        for name in aws.resources(stack, POLICY, {"Roles": [role]})
        if name in model["DependsOn"]
    )
    assert {ready, policy} <= set(model["DependsOn"])


def test_inf2_builds_nothing_in_its_own_stack(aws: Synthesized) -> None:
    """The image is built while the compile runs, in the compile's stack."""
    assert not aws.resources("SdInf2Stack", "AWS::CodeBuild::Project")
    assert len(aws.resources("SdInf2CompileStack", "AWS::CodeBuild::Project")) == 2


def test_the_container_understands_its_environment(
    aws: Synthesized, local: Synthesized, variant: str
) -> None:
    for each in (aws, local):
        settings = each.settings.variant(variant)
        config = ServingConfig.from_env(container(each, variant)["Environment"])
        assert config.variant == variant
        assert config.sizes[0] == settings.sizes[0]
        assert config.modes == settings.modes.samplings
        assert config.default_guidance_scale == settings.guidance_scale
        assert config.dtype == settings.dtype


def test_inf2_is_told_the_sdk_it_was_compiled_with(aws: Synthesized) -> None:
    told = ServingConfig.from_env(container(aws, "inf2")["Environment"])
    assert (told.neuron_sdk, told.compile_backend) == ("2.26.0", "neuronx")


def test_djl_does_as_the_settings_say(aws: Synthesized, local: Synthesized, tmp_path: Path) -> None:
    environment = container(aws, "djl")["Environment"]
    assert environment["SERVING_BATCH_SIZE"] == "8"
    assert environment["SERVING_MAX_BATCH_DELAY"] == "100"
    for each, acceleration in ((aws, "deepspeed"), (local, "pytorch")):
        # As DJL hands them over: OPTION_X is the property x.
        properties = {
            name.removeprefix("OPTION_").lower(): value
            for name, value in container(each, "djl")["Environment"].items()
            if name.startswith("OPTION_")
        }
        options = DjlOptions.from_properties({**properties, "model_id": str(tmp_path)})
        assert (options.acceleration, options.max_unet_rows) == (acceleration, 16)


def test_g5_pulls_the_levers_that_the_settings_name(aws: Synthesized, local: Synthesized) -> None:
    for each, levers in ((aws, ("channels_last",)), (local, ())):
        assert DiffusersOptions.from_env(container(each, "g5")["Environment"]).levers == levers


def test_the_front_door_understands_the_registration(aws: Synthesized, variant: str) -> None:
    text = registered(aws, variant)
    found = Registration.from_json(text)
    # With the longest mark, and still within what a standard parameter holds.
    start = start_command("v" * 16, "p" * 16, "ap-southeast-2")
    stopped = Stopped("2026-11-25T12:00:00+00:00", "no request for 168.25 h", start)
    assert len(replace(found, stopped=stopped).to_json()) + 63 <= 4096
    assert re.fullmatch(r"<\w+Config\w+\.EndpointConfigName>", found.endpoint_config or "")
    assert found.name == variant
    assert found.endpoint_name == f"sd-{variant}"
    assert found.default is (variant == "g5")
    assert found.serve == ("real-time", "bulk")
    assert found.sizes == (Size(512, 512),)
    assert found.price_usd_per_hour == (0.99 if variant == "inf2" else 1.4084)
    assert found.license == "openrail++"
    assert found.artifact_key == container(aws, variant)["Environment"]["SD_ARTIFACT_KEY"]
    assert found.revision == aws.settings.models["sd21-base"].revision
    assert found.engine == {"g5": "diffusers", "djl": "djl-deepspeed", "inf2": "neuronx"}[variant]
    assert found.price_date
    assert found.price_source
    assert found.license_url.startswith("https://")
    assert 0 < found.seconds_per_step < 1


def test_the_largest_registration_there_can_be_fits_a_standard_parameter() -> None:
    """Of 4,096 characters (SSM, PutParameter); each value as long as settings let it be."""
    long, mode = "v" * 16, "sd.kinds.diffusers.modes"
    changes = {
        "sd.prefix": "p" * 16,
        "sd.region": "ap-southeast-2",
        "sd.models.sd21-base.id": f"{'o' * 48}/{'m' * 47}",
        "sd.models.sd21-base.license": "l" * 64,
        "sd.models.sd21-base.license_url": f"https://{'u' * 292}",
        "sd.kinds.diffusers.instance_type": "ml.g6e.16xlarge",
        "sd.kinds.diffusers.serve": "real-time,async,bulk",
        "sd.kinds.diffusers.seconds_per_step": "0.00012345",
        "sd.kinds.diffusers.sizes": ",".join(SIZES),
        **{f"{mode}.{name}.steps": "99" for name in MODES},
        **{f"{mode}.{name}.sigmas": LINSPACE for name in MODES},
        **{f"{mode}.{name}.guidance_until": "0.12345678901234567" for name in MODES},
        **{f"{mode}.{name}.deep_cache": "10" for name in MODES},
        f"sd.variants.{long}.kind": "diffusers",
        f"sd.variants.{long}.model": "sd21-base",
        "sd.api.default_model": long,
    }
    settings = load({**json.loads((ROOT / "cdk.json").read_text())["context"], **changes})
    source = max(
        (price.source for prices in read_prices().regions.values() for price in prices.values()),
        key=len,
    )
    priced = replace(settings, prices={long: Price(12.123456789, "2026-11-25", source)})
    served: Any = SimpleNamespace(artifact_key="k" * 64, revision="r" * 64)
    text = registration(priced, priced.variant(long), served, json.dumps(BUILT), "c" * 63)
    start = start_command(long, "p" * 16, "ap-southeast-2")
    stopped = Stopped("2026-11-25T12:00:00+00:00", "no request for 168.25 h", start)
    longest = replace(Registration.from_json(text), stopped=stopped).to_json()
    assert len(longest) <= 4096


def test_a_variant_without_a_price_is_registered_without_one(aws: Synthesized) -> None:
    unpriced = dataclasses.replace(aws.settings, prices={})
    served: Any = SimpleNamespace(artifact_key="k", revision="r")
    document = json.loads(registration(unpriced, unpriced.variant("g5"), served, "{}", "c"))
    assert [value for name, value in document.items() if name.startswith("price_")] == [None] * 3
