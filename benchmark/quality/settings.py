"""The sampling settings that are compared, and their names on the command line and in tables."""

import re

from benchmark.errors import BenchmarkError
from sd_contract.sampling import LINSPACE, SIGMAS, Sampling

NAME = re.compile(
    rf"(?P<steps>[1-9]\d{{0,2}})-(?P<sigmas>{'|'.join(SIGMAS)})"
    r"(?:-guidance(?P<guidance>0\.\d+))?(?:-cache(?P<cache>[2-9]))?"
)
BASELINE = Sampling(25, LINSPACE)
"""What was served before there were modes: `standard` is to be no worse."""
REFERENCE = Sampling(100, LINSPACE)
"""Near enough to where all of them go. Of the baseline's spacing, which favours that one."""
STUDY_EVALUATIONS = 102
"""UNet rows a picture of the study's: its pipeline's default is PNDM with 50 steps, which calls the
UNet 51 times, always with guidance."""


def named(text: str) -> Sampling:
    """`15-karras`, `25-linspace-guidance0.8`, `15-karras-cache2`. Raises BenchmarkError."""
    found = NAME.fullmatch(text)
    if not found:
        raise BenchmarkError(
            f"--settings: {text!r} is none: STEPS-SIGMAS[-guidanceSHARE][-cacheN], sigmas "
            f"{' or '.join(SIGMAS)}, share between 0 and 1, N from 2 to 9"
        )
    guidance, cache = float(found["guidance"] or 1.0), int(found["cache"] or 1)
    try:
        return Sampling(int(found["steps"]), found["sigmas"], guidance, cache)
    except ValueError as error:
        raise BenchmarkError(f"--settings: {text!r}: {error}") from error


def name_of(sampling: Sampling) -> str:
    name = f"{sampling.steps}-{sampling.sigmas}"
    if sampling.guidance_until < 1:
        name += f"-guidance{sampling.guidance_until:g}"
    if sampling.deep_cache > 1:
        name += f"-cache{sampling.deep_cache}"
    return name


SETTINGS = tuple(
    named(name)
    for name in (
        *("25-linspace", "15-linspace", "10-linspace"),
        *("25-karras", "20-karras", "15-karras", "14-karras", "13-karras", "12-karras"),
        *("10-karras", "9-karras", "8-karras", "15-ays", "10-ays"),
        *("25-linspace-guidance0.8", "25-linspace-guidance0.6", "11-karras-guidance0.8"),
        *("25-linspace-cache2", "25-linspace-cache3", "25-linspace-cache5"),
        *("15-karras-cache2", "14-karras-cache2"),
    )
)
