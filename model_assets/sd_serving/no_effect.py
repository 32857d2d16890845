"""What a request asked for in vain, in sentences: nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Iterator

from sd_contract.invocation import Invocation
from sd_serving.edits import Task
from sd_serving.parts import Parts


def is_guided(request: Invocation) -> bool:
    """At 1 the unconditional half cancels out: half the work for the same noise."""
    return request.guidance_scale > 1


def warnings_of(task: Task, parts: Parts) -> Iterator[str]:
    """Each begins with the field's name."""
    request, most = task.request, parts.tokenizer_max_length
    if task.source:
        yield from task.source.warnings
    prompts = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
    if request.negative_prompt and not is_guided(request):
        del prompts["negative_prompt"]
        yield "negative_prompt: has no effect at guidance_scale 1, which draws by prompt alone."
    for name, prompt in prompts.items():
        if (tokens := parts.count_tokens(prompt)) > most:
            yield (
                f"{name}: has {tokens} tokens, of which the model reads {most}; "
                f"this end has no effect: {parts.cut_off(prompt)}"
            )
    edit = request.edit
    if edit and request.steps_run == 0:
        yield (
            f"strength: {edit.strength:g} of {request.num_inference_steps} steps is none; "
            "prompt and seed have no effect."
        )
    if edit and edit.mask is None and request.steps_run == request.num_inference_steps:
        yield "image: has no effect at strength 1 without a mask."
    if request.output_format == "png" and request.output_compression != 100:
        yield "output_compression: has no effect on PNG, which loses nothing."
