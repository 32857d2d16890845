"""How long an image takes on a variant: what it registered, corrected by what its answers took.

`seconds_per_step` is a published figure until a deploy measures its own. Each Lambda instance
learns for itself and starts from it. A wrong lesson can do little harm: one answer moves the
figures by no more than `MOST_A_SAMPLE_MOVES`, all of them by no more than `MOST_TIMES`, and what
was learnt fades with time. It has to fade: a figure that is too high refuses the very requests
that would mend it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from front_door.generation import GenerationRequest
from sd_contract.invocation import Answer
from sd_contract.registration import Registration
from sd_contract.size import Size

# Of a new answer in the moving average.
WEIGHT = 0.25
# As a share of the registered time a step.
MOST_A_SAMPLE_MOVES = 0.1
# `step_s` stays between the registered one divided by this and times this.
MOST_TIMES = 4.0
# `other_s` stays below this many registered steps. By arithmetic SD 2.1's VAE decoder takes 1.6.
MOST_OTHER_STEPS = 10.0
HALF_LIFE_S = 300.0


_Key = tuple[str, Size, bool, bool, str]


@dataclass(frozen=True)
class PictureTime:
    """Seconds for one image: `step_s` for each denoising step, `other_s` for all else."""

    step_s: float
    other_s: float

    def of(self, steps: int) -> float:
        return steps * self.step_s + self.other_s


@dataclass(frozen=True)
class _Learnt:
    variant: Registration
    time: PictureTime
    at: float


class PictureTimes:
    """What this Lambda instance has learnt. `clock` is in seconds since the epoch.

    Sizes are learnt apart, as attention grows faster than the pixels; so are requests without
    guidance, which need half the work, edits, which encode a picture, and modes.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._learnt: dict[_Key, _Learnt] = {}

    def of(self, request: GenerationRequest) -> PictureTime:
        """The time of one of the images, taken as drawn alone."""
        start = registered_time(request)
        learnt = self._learnt.get(_key(request))
        if learnt is None or learnt.variant != request.variant:
            return start
        age_s = self._clock() - learnt.at
        # A clock set back must not keep a lesson alive.
        share = 0.5 ** (age_s / HALF_LIFE_S) if age_s >= 0 else 0.0
        return PictureTime(
            start.step_s + share * (learnt.time.step_s - start.step_s),
            start.other_s + share * (learnt.time.other_s - start.other_s),
        )

    def learn(self, request: GenerationRequest, answer: Answer) -> None:
        """From an answer to `request`; not where it was batched with others: the stages are then
        the whole batch's, which says little of this request alone."""
        asked = request.invocation
        if answer.images_in_batch != asked.num_images:
            return
        now, start = self.of(request), registered_time(request).step_s
        spent = {stage: ms / 1000 / asked.num_images for stage, ms in answer.timings_ms.items()}
        denoise_s = spent.pop("denoise")
        step_s = denoise_s / asked.steps_run if asked.steps_run else now.step_s
        other_s = sum(spent.values())
        time = PictureTime(
            _moved(now.step_s, step_s, start, (start / MOST_TIMES, start * MOST_TIMES)),
            _moved(now.other_s, other_s, start, (0.0, start * MOST_OTHER_STEPS)),
        )
        self._learnt[_key(request)] = _Learnt(request.variant, time, self._clock())


def _key(request: GenerationRequest) -> _Key:
    asked = request.invocation
    guided = asked.guidance_scale > 1
    return request.variant.name, asked.size, guided, asked.edit is not None, asked.quality


def registered_time(request: GenerationRequest) -> PictureTime:
    """Larger sizes scale by their pixels, which is on the low side, so that nothing is refused that
    might have fitted. The figure is all of an image's time by its steps: nothing comes on top."""
    asked, variant = request.invocation, request.variant
    step_s = variant.served_modes[asked.quality].seconds_per_step
    return PictureTime(step_s * asked.size.pixels / variant.sizes[0].pixels, 0.0)


def _moved(now: float, sample: float, start: float, bounds: tuple[float, float]) -> float:
    most = MOST_A_SAMPLE_MOVES * start
    moved = now + min(most, max(-most, WEIGHT * (sample - now)))
    return min(bounds[1], max(bounds[0], moved))
