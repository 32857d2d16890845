"""What an endpoint's host can run: its AMI's drivers, the Neuron SDKs they serve, and which
instance types a region has. From the dated files in stacks/catalogue, each with its source."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent


@cache
def _file(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def version(text: str) -> tuple[int, ...]:
    """ "2.30.0" as (2, 30, 0), for comparing."""
    return tuple(int(part) for part in text.split("."))


@dataclass(frozen=True)
class Ami:
    """A SageMaker InferenceAmiVersion: `cuda` where its hosts have GPUs, `neuron_driver` where they
    have Inferentia."""

    name: str
    cuda: str | None = None
    nvidia_driver: str | None = None
    neuron_driver: str | None = None


AMIS: Mapping[str, Ami] = {
    name: Ami(name, **drivers) for name, drivers in _file("amis")["amis"].items()
}


def gpu_amis_for(cuda: str) -> tuple[str, ...]:
    """Those whose CUDA is at least `cuda`, which an image's has to be below or at."""
    return tuple(
        ami.name for ami in AMIS.values() if ami.cuda and version(ami.cuda) >= version(cuda)
    )


@dataclass(frozen=True)
class NeuronSdk:
    """`least_driver` None: the release notes name none."""

    release: str
    runtime: str
    driver: str
    least_driver: str | None

    def runs_on(self, driver: str) -> bool:
        return self.least_driver is None or version(self.least_driver) <= version(driver)


@cache
def neuron_sdks() -> Mapping[str, NeuronSdk]:
    """By release, oldest first."""
    return {name: NeuronSdk(name, **sdk) for name, sdk in _file("neuron_sdks")["sdks"].items()}


def newest_neuron_sdk_for(driver: str) -> NeuronSdk:
    return [sdk for sdk in neuron_sdks().values() if sdk.runs_on(driver)][-1]


@dataclass(frozen=True)
class Offer:
    """Whether AWS offers an instance type in a region; `offered` None: not known. `date` is the
    table's."""

    offered: bool | None
    date: str


def offer(purpose: str, instance_type: str, region: str) -> Offer:
    """`purpose` is "hosting" or "training"."""
    table = _file("regions")[purpose]
    types = table["regions"].get(region)
    return Offer(None if types is None else instance_type in types, table["date"])
