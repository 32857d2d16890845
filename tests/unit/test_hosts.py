"""The dated tables of hosts, SDKs and regions, held against the packages they come from."""

import json
import re
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import botocore.session
import cfnlint
import pytest

from stacks.catalogue.hosts import AMIS, DATA, gpu_amis_for, neuron_sdks, version
from stacks.catalogue.images import cuda_of
from stacks.settings_sections import COMPILE_INSTANCES, GPU_INSTANCES, INF2_INSTANCES

SCHEMAS = Path(cfnlint.__file__).parent / "data" / "schemas"


def table(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def cfn_lint_s(resource: str) -> dict[str, set[str]]:
    """Instance types by region."""
    path = SCHEMAS / "extensions" / resource / "instancetype_enum.json"
    found = json.loads(path.read_text())
    return {r: set(t["enum"]) for r, t in found.items() if isinstance(t, dict) and r != "all"}


@pytest.mark.parametrize(
    ("purpose", "resource", "prefix", "types"),
    [
        ("hosting", "aws_sagemaker_hosting", "", {*GPU_INSTANCES, *INF2_INSTANCES}),
        ("training", "aws_ec2_instance", "ml.", set(COMPILE_INSTANCES)),
    ],
)
def test_the_regions_instance_types_are_cfn_lint_s(
    purpose: str, resource: str, prefix: str, types: set[str]
) -> None:
    """After an update of cfn-lint: write stacks/catalogue/regions.json anew, with its date."""
    theirs = {
        region: {prefix + name for name in names} & types
        for region, names in cfn_lint_s(resource).items()
    }
    ours = table("regions")[purpose]
    assert {region: set(names) for region, names in ours["regions"].items()} == theirs
    schemas = json.loads((SCHEMAS / "version.json").read_text())
    assert schemas["schema_date"].startswith(ours["date"])
    assert f"cfn-lint {package_version('cfn-lint')}" in ours["source"]


def test_the_amis_and_their_drivers_are_sagemaker_s() -> None:
    model = botocore.session.Session().get_service_model("sagemaker")
    shape = model.shape_for("ProductionVariant").members["InferenceAmiVersion"]
    assert set(AMIS) == set(shape.enum)
    described = re.sub(r"<[^>]+>|\s+", " ", shape.documentation)
    for ami in AMIS.values():
        said = re.split(r"\bal\S+-ami-", described.split(f" {ami.name} ", 1)[1])[0]
        for label, value in {
            "NVIDIA driver version": ami.nvidia_driver,
            "CUDA version": ami.cuda,
            "Neuron driver version": ami.neuron_driver,
        }.items():
            found = re.search(rf"{label}: ([\d.]+)", said)
            assert (found[1] if found else None) == value


def test_the_sdks_runtimes_rise_and_the_known_break_is_where_the_notes_have_it() -> None:
    sdks = list(neuron_sdks().values())
    assert [version(s.release) for s in sdks] == sorted(version(s.release) for s in sdks)
    assert [version(s.runtime) for s in sdks] == sorted(version(s.runtime) for s in sdks)
    for sdk in sdks:
        # "Runtime Library 2.32 is not backward-compatible with Neuron Driver 2.26 or earlier."
        assert sdk.runs_on("2.26") == (version(sdk.runtime) < (2, 32))
        assert sdk.runs_on(sdk.driver)


def test_an_image_s_cuda_is_read_off_its_tag() -> None:
    assert cuda_of("x:2.6.0-gpu-py312-cu124-ubuntu22.04") == "12.4"
    assert cuda_of("x:0.27.0-deepspeed0.12.6-cu121") == "12.1"
    assert cuda_of("x:2.9-cu130") == "13.0"
    assert cuda_of("x:2.8.0-neuronx-py310-sdk2.26.0") is None
    assert gpu_amis_for("12.2")[0] == "al2-ami-sagemaker-inference-gpu-2"


@pytest.mark.parametrize("name", ["amis", "images", "neuron_sdks"])
def test_each_table_has_its_date_and_source(name: str) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", table(name)["read"])
    assert table(name)["source"]
