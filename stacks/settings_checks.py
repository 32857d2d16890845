"""What no single setting can show: settings that contradict each other or the region."""

from collections.abc import Iterator
from dataclasses import dataclass

from djl.sizes import FITTING
from sd_contract.model_folder import NotAModel, read_folder
from stacks.catalogue.hosts import (
    AMIS,
    gpu_amis_for,
    neuron_sdks,
    newest_neuron_sdk_for,
    offer,
    version,
)
from stacks.catalogue.images import cuda_of, published_in
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
    try:
        read_folder(model.folder_path, model.folder)
    except NotAModel as error:
        allowed = "a folder with a whole Stable Diffusion 2 in diffusers' layout"
        found = "; ".join(error.problems)
        return [Problem("sd.model.folder", model.folder, f"{allowed}, but {found}")]
    return []


# One of a container's environment variables (SageMaker, ContainerDefinition.Environment).
MOST_ENVIRONMENT_CHARACTERS = 1024


def size_problems(variant: VariantSettings) -> list[Problem]:
    named = f"sd.{variant.name}.sizes"
    problems = [
        Problem(named, size, "multiples of 64 from 64 to 1024")
        for size in variant.sizes
        if any(int(side) % 64 or int(side) > 1024 for side in size.split("x"))
    ]
    written = ",".join(variant.sizes)
    if len(written) > MOST_ENVIRONMENT_CHARACTERS:
        allowed = f"at most {MOST_ENVIRONMENT_CHARACTERS} characters, with commas between the sizes"
        problems.append(Problem(named, f"{len(variant.sizes)} sizes", allowed))
    return problems


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
    said = f"{allowed}, with the CUDA {cuda} of {named} or newer (stacks/catalogue/amis.json)"
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
        why = "stacks/catalogue/neuron_sdks.json knows of no newer one that it serves"
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
        text = f"{setting}: stacks/catalogue/regions.json, of {found.date}, {known}; {advice}"
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
            f"sd.compile.sdk: stacks/catalogue/neuron_sdks.json doesn't know {compiling.sdk}, and so "
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
        allowed = f"{' | '.join(FITTING)} with DeepSpeed; any with sd.djl.acceleration=pytorch"
        problems += [
            Problem("sd.djl.sizes", size, allowed) for size in djl.sizes if size not in FITTING
        ]
        if djl.dtype != "float16":
            problems.append(Problem("sd.djl.dtype", djl.dtype, "float16 with DeepSpeed"))
    request_s = djl.steps * djl.seconds_per_step
    most = max(1, int(GATEWAY_TIMEOUT_S / request_s))
    if djl.max_batch_size > most:
        allowed = (
            f"at most {most}: of requests with {djl.steps} steps of {djl.seconds_per_step:g} s "
            f"(seconds_per_step), more aren't done within the gateway's {GATEWAY_TIMEOUT_S} s"
        )
        problems.append(Problem("sd.djl.max_batch_size", djl.max_batch_size, allowed))
    if djl.job_queue_size <= djl.max_batch_size:
        # DJL refuses the last place while a batch is being made (WorkLoadManager.java, v0.27.0).
        allowed = f"at least {djl.max_batch_size + 1}, for a batch of sd.djl.max_batch_size to wait"
        problems.append(Problem("sd.djl.job_queue_size", djl.job_queue_size, allowed))
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
