"""What no single setting can show: settings that contradict each other or the region."""

from sd_contract.model_folder import NotAModel, read_folder
from stacks.images import base_image_problem
from stacks.settings_parsing import Problem
from stacks.settings_sections import (
    CompileSettings,
    DjlSettings,
    Inf2Settings,
    ModelSettings,
    VariantSettings,
)


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
