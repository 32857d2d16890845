"""What no single setting can show: settings that contradict each other or the region."""

from djl.sizes import FITTING
from stacks.images import base_image_problem
from stacks.settings_parsing import Problem
from stacks.settings_sections import (
    GATEWAY_TIMEOUT_S,
    CompileSettings,
    DjlSettings,
    Inf2Settings,
    ModelSettings,
    VariantSettings,
)


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


def image_problems(variant: VariantSettings, region: str) -> list[Problem]:
    found = base_image_problem(variant.base_image, region)
    if found is None:
        return []
    at_fault, allowed = found
    if at_fault == "region":
        return [Problem("sd.region", region, f"for {variant.name}: {allowed}")]
    return [Problem(f"sd.{variant.name}.base_image", variant.base_image, allowed)]


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
