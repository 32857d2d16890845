"""The dated tables of hosts, images, SDKs and regions, held against the packages they come from."""

import json
import re
from typing import Any

import pytest

from stacks.catalogue import refresh
from stacks.catalogue.hosts import DATA, gpu_amis_for, neuron_sdks, version
from stacks.catalogue.images import cuda_of, sdk_of
from stacks.settings import KINDS


def table(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["amis", "regions"])
def test_a_table_is_what_a_refresh_would_write(name: str) -> None:
    """After an update of botocore or cfn-lint: python -m stacks.catalogue.refresh amis regions."""
    ours = table(name)
    ours.pop("read")
    assert ours == {"amis": refresh.amis, "regions": refresh.regions}[name]()


@pytest.mark.environments
def test_accounts_are_the_sdk_s() -> None:
    """After an update of the SageMaker SDK: python -m stacks.catalogue.refresh images."""
    images = table("images")
    assert images == {"read": images["read"], **refresh.images()}


def test_every_kind_s_repository_is_held_against_the_sdk() -> None:
    assert table("images")["accounts"].keys() == refresh.IMAGE_LISTS.keys()
    assert {kind.repository for kind in KINDS.values()} == refresh.IMAGE_LISTS.keys()


def test_a_new_neuron_sdk_needs_the_driver_that_the_one_before_it_does() -> None:
    def release(name: str) -> dict[str, Any]:
        packages = {"aws-neuronx-runtime-lib": "2.40.1.0", "aws-neuronx-dkms": "2.35.0.0"}
        return {
            "neuron_version": name,
            "packages": [
                {"name": package, "version": number, "supported_instances": ["inf2"]}
                for package, number in packages.items()
            ],
        }

    known = table("neuron_sdks")
    releases = [release("2.99.0"), release("2.29.0"), release("1.0.0")]
    manifest = {"manifest_date": "01/31/2027", "neuron_releases": releases}
    made = refresh.neuron_sdks(manifest, known)
    assert made["sdks"].keys() == {"2.29.0", "2.99.0"}
    assert made["sdks"]["2.99.0"] == {
        "runtime": "2.40.1.0",
        "driver": "2.35.0.0",
        "least_driver": known["sdks"]["2.29.0"]["least_driver"],
    }
    assert "of 2027-01-31" in made["source"]


def test_the_sdks_runtimes_rise_and_the_known_break_is_where_the_notes_have_it() -> None:
    sdks = list(neuron_sdks().values())
    assert [version(s.release) for s in sdks] == sorted(version(s.release) for s in sdks)
    assert [version(s.runtime) for s in sdks] == sorted(version(s.runtime) for s in sdks)
    for sdk in sdks:
        # "Runtime Library 2.32 is not backward-compatible with Neuron Driver 2.26 or earlier."
        assert sdk.runs_on("2.26") == (version(sdk.runtime) < (2, 32))
        assert sdk.runs_on(sdk.driver)


def test_an_image_s_cuda_and_sdk_are_read_off_its_tag() -> None:
    assert cuda_of("x:2.6.0-gpu-py312-cu124-ubuntu22.04") == "12.4"
    assert cuda_of("x:0.27.0-deepspeed0.12.6-cu121") == "12.1"
    assert cuda_of("x:2.9-cu130") == "13.0"
    assert cuda_of("x:2.8.0-neuronx-py310-sdk2.26.0") is None
    assert sdk_of("x:2.8.0-neuronx-py310-sdk2.26.0-ubuntu22.04") == "2.26.0"
    assert sdk_of("x:2.9-cu130") is None
    assert gpu_amis_for("12.2")[0] == "al2-ami-sagemaker-inference-gpu-2"


@pytest.mark.parametrize("name", ["amis", "images", "neuron_sdks", "regions"])
def test_each_table_has_its_date_and_source(name: str) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", table(name)["read"])
    assert "source" in json.dumps(table(name))
