"""The kind `neuron`: compiled for Inferentia2."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from stacks.catalogue.hosts import AMIS, neuron_sdks, newest_neuron_sdk_for, version
from stacks.settings.compile import TRAINIUM_INSTANCES, CompiledSettings
from stacks.settings.problems import Notice, Problem
from stacks.settings.rules import one_of, setting
from stacks.settings.scaling import BulkSettings

INF2_INSTANCES = ("ml.inf2.xlarge", "ml.inf2.8xlarge", "ml.inf2.24xlarge", "ml.inf2.48xlarge")
NEURON_AMIS = tuple(ami.name for ami in AMIS.values() if ami.neuron_driver)


@dataclass(frozen=True, kw_only=True)
class NeuronBulkSettings(BulkSettings):
    """trn1 has inf2's NeuronCores, and runs the same compiled graphs; no inf2 trains."""

    instance_type: str = setting(one_of(*TRAINIUM_INSTANCES))


@dataclass(frozen=True, kw_only=True)
class NeuronSettings(CompiledSettings):
    kind: ClassVar = "neuron"
    engine: ClassVar = "neuronx"
    folder: ClassVar = "inf2"
    repository: ClassVar = "huggingface-pytorch-inference-neuronx"

    instance_type: str = setting(one_of(*INF2_INSTANCES))
    ami: str = setting(one_of(*NEURON_AMIS))
    bulk: NeuronBulkSettings = field(metadata={"section": NeuronBulkSettings})
    # The compile's; its VAE is float32 in either case.
    dtype: str = setting(one_of("bfloat16", "float32"))

    def image_problems(self) -> Iterator[Problem]:
        """A Neuron SDK whose runtime the host's driver can't serve, or that is newer than one."""
        if not self.sdk:
            yield self.problem("base_image", "a tag with its Neuron SDK (sdkX.Y.Z)")
            return
        driver = AMIS[self.ami].neuron_driver
        assert driver is not None
        served = newest_neuron_sdk_for(driver)
        known = neuron_sdks().get(self.sdk)
        if known is None:
            if version(self.sdk) <= version(served.release):
                return
            why = "stacks/catalogue/neuron_sdks.json knows of no newer one that it serves"
        elif known.runs_on(driver):
            return
        else:
            why = f"the runtime {known.runtime} of {known.release} needs {known.least_driver}"
            why += " or newer"
        yield self.problem(
            "base_image",
            f"an SDK of at most {served.release} on {self.ami}, whose Neuron driver is {driver}: "
            f"{why}",
        )

    def problems(self, region: str) -> Iterator[Problem]:
        yield from super().problems(region)
        if self.compile.spot and self.compile.compute != "training-job":
            compute = self.path("compile.compute")
            yield self.problem("compile.spot", f"false where {compute} is not training-job", True)

    def notices(self, region: str) -> Iterator[Notice]:
        yield from super().notices(region)
        if self.compile.compute == "training-job":
            yield from self.missing(
                "training",
                "compile.instance_type",
                self.compile.instance_type,
                region,
                "where AWS has none the compile fails: "
                f"{self.path('compile.compute')}=codebuild-cpu needs none",
            )
        if self.sdk not in neuron_sdks():
            yield self.notice(
                "base_image",
                f"stacks/catalogue/neuron_sdks.json doesn't know {self.sdk}, and so not whether "
                f"the driver of {self.ami} serves it",
            )
