"""Refuses what can't be done before the gateway gives up, by the variant's own figures.

Better a 400 at once, which says what would fit, than 29 paid seconds that end in a 504.
"""

from dataclasses import replace

from front_door.errors import InvalidRequest
from front_door.generation import GenerationRequest
from front_door.picture_time import PictureTime
from sd_contract.fields import Problem
from sd_contract.registration import REAL_TIME, Registration

BATCHES = "/batches"
"""The API's path for what takes longer."""
# Keeps the advice true to its word where a division rounds up.
_SLACK = 1 + 1e-9


def check_answers(variant: Registration) -> None:
    """Raises InvalidRequest of one without an endpoint that answers requests."""
    if REAL_TIME not in variant.serve:
        message = f"model: {variant.name!r} answers no requests, it draws batches: POST {BATCHES}"
        raise InvalidRequest(Problem("model", message, "batches_only"))


def estimate_s(request: GenerationRequest, picture: PictureTime) -> float:
    """Seconds the endpoint will need."""
    asked = request.invocation
    return asked.num_images * picture.of(asked.steps_run)


def check_time(request: GenerationRequest, picture: PictureTime, endpoint_timeout_s: float) -> None:
    """Raises InvalidRequest if the endpoint is going to need more than `endpoint_timeout_s`."""
    needed = estimate_s(request, picture)
    if needed <= endpoint_timeout_s * _SLACK:
        return
    asked = request.invocation
    steps = most_steps(request, picture, endpoint_timeout_s)
    images = int(endpoint_timeout_s / picture.of(asked.steps_run))
    ways = []
    if steps > 0:
        ways.append(f"with n={asked.num_images}, up to {steps} num_inference_steps")
    if images:
        ways.append(f"with num_inference_steps={asked.num_inference_steps}, n up to {images}")
    if not ways:
        ways.append("not with this n and size: choose fewer images or a smaller size")
    if request.variant.batches:
        ways.append(f"all of it in a batch: POST {BATCHES}")
    raise InvalidRequest(
        Problem(
            "num_inference_steps",
            f"n, num_inference_steps, size: n={asked.num_images} images of {asked.size} with "
            f"{asked.num_inference_steps} steps each would take about {needed:.0f} s on model "
            f"{request.variant.name!r}, and {endpoint_timeout_s:.0f} s are available. "
            f"What fits: {'; or '.join(ways)}",
            "too_slow",
        )
    )


def most_steps(request: GenerationRequest, picture: PictureTime, endpoint_timeout_s: float) -> int:
    """How many of the variant's steps the request could ask for; 0: not one."""
    for steps in range(request.variant.max_steps, 0, -1):
        asked = replace(request.invocation, num_inference_steps=steps)
        fewer = replace(request, invocation=asked)
        if estimate_s(fewer, picture) <= endpoint_timeout_s * _SLACK:
            return steps
    return 0
