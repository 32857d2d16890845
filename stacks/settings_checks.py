"""What no single setting can show: settings that contradict each other or the region."""

from collections.abc import Iterator
from dataclasses import dataclass

from stacks.hosts import (
    AMIS,
    gpu_amis_for,
    neuron_sdks,
    newest_neuron_sdk_for,
    offer,
    version,
)
from stacks.images import cuda_of, published_in
from stacks.settings_parsing import Problem
from stacks.settings_sections import (
    BASE_REPOSITORIES,
    GATEWAY_TIMEOUT_S,
    CompileSettings,
    DjlSettings,
    Inf2Settings,
    ModelSettings,
    VariantSettings,
)


@dataclass(frozen=True)
class Notice:
    """What AWS may refuse, as far as a dated table can tell: a warning of the synthesis, under
    `id`, at the stack of `variant`."""

    id: str
    variant: str
    text: str


def model_problems(model: ModelSettings) -> list[Problem]:
    if model.source == "hub":
        return []
    if not model.folder or not (model.folder_path / "model_index.json").is_file():
        allowed = "a folder in diffusers format, with model_index.json in it"
        return [Problem("sd.model.folder", model.folder, allowed)]
    return []


def size_problems(variant: VariantSettings) -> list[Problem]:
    return [
        Problem(f"sd.{variant.name}.sizes", size, "multiples of 64 from 64 to 1024")
        for size in variant.sizes
        if any(int(side) % 64 or int(side) > 1024 for side in size.split("x"))
    ]


def region_problems(variant: VariantSettings, region: str) -> list[Problem]:
    """For an image of the variant's own kind."""
    repository = variant.base_image.split(":")[0]
    if repository != BASE_REPOSITORIES[variant.name] or region in published_in(repository):
        return []
    regions = " | ".join(published_in(repository))
    return [Problem("sd.region", region, f"for {variant.name}, whose {repository} is in {regions}")]


def image_problems(variant: VariantSettings) -> list[Problem]:
    """An image of another kind, or one that the host's driver can't serve."""
    named = f"sd.{variant.name}.base_image"
    repository, tag = variant.base_image.split(":")
    kind = BASE_REPOSITORIES[variant.name]
    if repository != kind:
        return [Problem(named, variant.base_image, f"an image of {kind}")]
    if isinstance(variant, Inf2Settings):
        return []
    if isinstance(variant, DjlSettings) and "-deepspeed" not in tag:
        return [Problem(named, variant.base_image, "a tag with DeepSpeed (deepspeedX.Y.Z)")]
    cuda = cuda_of(tag)
    if cuda is None:
        return [Problem(named, variant.base_image, "a tag with CUDA (cuNNN), for a GPU")]
    fitting = gpu_amis_for(cuda)
    if variant.ami in fitting:
        return []
    allowed = " | ".join(fitting) or "none that is known"
    said = f"{allowed}, with the CUDA {cuda} of {named} or newer (stacks/data/amis.json)"
    return [Problem(f"sd.{variant.name}.ami", variant.ami, said)]


def time_problems(variant: VariantSettings) -> list[Problem]:
    """The front door would refuse every request that leaves its steps out."""
    most = int(GATEWAY_TIMEOUT_S / variant.seconds_per_step)
    if variant.steps <= most:
        return []
    allowed = (
        f"at most {most}: at {variant.seconds_per_step:g} s a step (seconds_per_step) more don't "
        f"finish within the gateway's {GATEWAY_TIMEOUT_S} s"
    )
    return [Problem(f"sd.{variant.name}.steps", variant.steps, allowed)]


def sdk_problems(inf2: Inf2Settings, compiling: CompileSettings) -> list[Problem]:
    """A Neuron SDK whose runtime the host's driver can't serve, or that is newer than one."""
    driver = AMIS[inf2.ami].neuron_driver
    assert driver is not None
    served = newest_neuron_sdk_for(driver)
    sdk = neuron_sdks().get(compiling.sdk)
    if sdk is None:
        if version(compiling.sdk) <= version(served.release):
            return []
        why = "stacks/data/neuron_sdks.json knows of no newer one that it serves"
    elif sdk.runs_on(driver):
        return []
    else:
        why = f"the runtime {sdk.runtime} of {sdk.release} needs {sdk.least_driver} or newer"
    allowed = f"at most {served.release} on {inf2.ami}, whose Neuron driver is {driver}: {why}"
    return [Problem("sd.compile.sdk", compiling.sdk, allowed)]


def host_notices(
    variant: VariantSettings, region: str, compiling: CompileSettings
) -> Iterator[Notice]:
    """Instance types that the region may not have, and an SDK that no release note is known of."""

    def missing(purpose: str, setting: str, instance_type: str, advice: str) -> Iterator[Notice]:
        found = offer(purpose, instance_type, region)
        if found.offered:
            return
        known = (
            f"has no {instance_type} for SageMaker {purpose} in {region}"
            if found.offered is False
            else f"doesn't know {region}"
        )
        text = f"{setting}: stacks/data/regions.json, of {found.date}, {known}; {advice}"
        yield Notice(f"sd:{setting.removeprefix('sd.')}", variant.name, text)

    yield from missing(
        "hosting",
        f"sd.{variant.name}.instance_type",
        variant.instance_type,
        "where AWS has none the endpoint fails",
    )
    if not isinstance(variant, Inf2Settings):
        return
    if compiling.compute == "training-job":
        yield from missing(
            "training",
            "sd.compile.instance_type",
            compiling.instance_type,
            "where AWS has none the compile fails: sd.compile.compute=codebuild-cpu needs none",
        )
    if compiling.sdk not in neuron_sdks():
        text = (
            f"sd.compile.sdk: stacks/data/neuron_sdks.json doesn't know {compiling.sdk}, and so "
            f"not whether the driver of {variant.ami} serves it"
        )
        yield Notice("sd:compile.sdk", variant.name, text)


def djl_problems(djl: DjlSettings) -> list[Problem]:
    problems = []
    if djl.max_unet_rows % 2:
        problems.append(Problem("sd.djl.max_unet_rows", djl.max_unet_rows, "an even number"))
    if djl.cuda_graphs and len(djl.sizes) > 1:
        problems.append(Problem("sd.djl.sizes", list(djl.sizes), "one size with cuda_graphs"))
    if djl.cuda_graphs and djl.max_unet_rows != 2:
        problems.append(Problem("sd.djl.max_unet_rows", djl.max_unet_rows, "2 with cuda_graphs"))
    if djl.acceleration != "pytorch":
        # The attention that DeepSpeed 0.12 injects is built for 64x64 latents at most.
        problems += [
            Problem("sd.djl.sizes", size, "at most 512x512 pixels with DeepSpeed")
            for size in djl.sizes
            if int(size.split("x")[0]) * int(size.split("x")[1]) > 512 * 512
        ]
        if djl.dtype != "float16":
            problems.append(Problem("sd.djl.dtype", djl.dtype, "float16 with DeepSpeed"))
    return problems


def compile_problems(inf2: Inf2Settings, compiling: CompileSettings) -> list[Problem]:
    problems = []
    if f"sdk{compiling.sdk}" not in inf2.base_image:
        problems.append(
            Problem(
                "sd.compile.sdk",
                compiling.sdk,
                f"the SDK in sd.inf2.base_image ({inf2.base_image})",
            )
        )
    if compiling.spot and compiling.compute != "training-job":
        problems.append(
            Problem("sd.compile.spot", True, "false where sd.compile.compute is not training-job")
        )
    return problems
