"""What answers teach about an image's time: bounded, forgotten with time, and never a trap."""

import random
from typing import Any

import pytest

from front_door.generation import GenerationRequest
from front_door.picture_time import (
    HALF_LIFE_S,
    MOST_A_SAMPLE_MOVES,
    MOST_OTHER_STEPS,
    MOST_TIMES,
    PictureTime,
    PictureTimes,
)
from front_door.time_limit import check_time, estimate_s
from sd_contract.invocation import Answer
from sd_contract.size import Size
from tests.fakes.front_door import (
    FakeClock,
    FakeRuntime,
    World,
    generation_request,
    variant,
)

START_S = 0.1
VARIANT = variant(seconds_per_step=START_S)
REQUEST = generation_request(VARIANT)
SEEDS = range(40)


def answer(
    request: GenerationRequest, step_s: float, other_s: float = 0.0, together: int | None = None
) -> Answer:
    """To `request`, had each image taken this long; `together`: images in the batch."""
    asked = request.invocation
    images = asked.num_images if together is None else together
    timings_ms = {
        "text_encoder": 0.0,
        "vae_encode": 0.0,
        "denoise": 1000 * step_s * images * asked.num_inference_steps,
        "vae_decode": 750 * other_s * images,
        "encode": 250 * other_s * images,
    }
    engine = {"images_in_batch": images}
    return Answer((b"",) * asked.num_images, asked.seeds, timings_ms, engine)


def taught(*step_s: float, times: PictureTimes | None = None) -> PictureTimes:
    times = times or PictureTimes(FakeClock())
    for each in step_s:
        times.learn(REQUEST, answer(REQUEST, each))
    return times


def test_one_spike_is_a_tenth_of_the_registered_time() -> None:
    assert taught(1000.0).of(REQUEST).step_s == pytest.approx(START_S * 1.1)


def test_it_starts_from_what_was_registered_by_the_pixels() -> None:
    times = PictureTimes(FakeClock())
    assert times.of(REQUEST) == PictureTime(START_S, 0.0)
    wide = generation_request(VARIANT, size=Size(1024, 512))
    assert times.of(wide).step_s == pytest.approx(2 * START_S)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_sequence_of_answers_leaves_the_bounds_or_jumps(seed: int) -> None:
    chance, clock = random.Random(seed), FakeClock()
    times = PictureTimes(clock)
    for _ in range(200):
        steps, n = chance.randint(1, 100), chance.randint(1, 4)
        request = generation_request(VARIANT, num_inference_steps=steps, num_images=n)
        before = times.of(request)
        sample = answer(request, 10 ** chance.uniform(-7, 5), 10 ** chance.uniform(-7, 5))
        times.learn(request, sample)
        after = times.of(request)
        most = MOST_A_SAMPLE_MOVES * START_S * (1 + 1e-9)
        assert abs(after.step_s - before.step_s) <= most
        assert abs(after.other_s - before.other_s) <= most
        clock.now += chance.choice([0, 1, 30, 3000, -1000])
        for time in (after, times.of(request)):
            assert START_S / MOST_TIMES <= time.step_s <= START_S * MOST_TIMES
            assert 0 <= time.other_s <= START_S * MOST_OTHER_STEPS


@pytest.mark.parametrize("seed", SEEDS)
def test_it_comes_to_what_the_answers_take_after_whatever_spike(seed: int) -> None:
    chance, clock = random.Random(seed), FakeClock()
    times = PictureTimes(clock)
    for _ in range(chance.randint(0, 100)):
        times.learn(REQUEST, answer(REQUEST, 1000.0, chance.choice([0.0, 1000.0])))
    step_s = START_S * chance.uniform(1 / MOST_TIMES, MOST_TIMES)
    other_s = START_S * chance.uniform(0, MOST_OTHER_STEPS)
    for _ in range(200):
        steps, n = chance.randint(1, 100), chance.randint(1, 4)
        request = generation_request(VARIANT, num_inference_steps=steps, num_images=n)
        noise = chance.uniform(0.97, 1.03)
        times.learn(request, answer(request, step_s * noise, other_s * noise))
        clock.now += chance.uniform(0, 2)
    learnt = times.of(REQUEST)
    assert learnt.step_s == pytest.approx(step_s, rel=0.05)
    assert learnt.other_s == pytest.approx(other_s, rel=0.1, abs=0.01)


def test_a_refusal_doesn_t_outlive_what_was_learnt() -> None:
    """All is refused, so nothing is learnt any more: time alone has to open the door again."""
    clock = FakeClock()
    times = taught(*[1000.0] * 100, times=PictureTimes(clock))
    request = generation_request(VARIANT, num_inference_steps=100)
    limit_s = 1.5 * estimate_s(request, PictureTime(START_S, 0.0))
    waited = 0.0
    while estimate_s(request, times.of(request)) > limit_s:
        clock.now += 10
        waited += 10
    assert HALF_LIFE_S < waited < 3 * HALF_LIFE_S
    check_time(request, times.of(request), limit_s)
    clock.now += 100 * HALF_LIFE_S
    assert times.of(request).step_s == pytest.approx(START_S)


def test_what_was_learnt_halves_in_its_half_life_and_ends_with_a_clock_set_back() -> None:
    clock = FakeClock()
    times = taught(*[0.2] * 100, times=PictureTimes(clock))
    clock.now += HALF_LIFE_S
    assert times.of(REQUEST).step_s == pytest.approx(0.15, rel=0.01)
    clock.now -= HALF_LIFE_S + 1
    assert times.of(REQUEST).step_s == START_S


def test_a_batch_with_other_requests_teaches_nothing() -> None:
    times = PictureTimes(FakeClock())
    times.learn(REQUEST, answer(REQUEST, START_S, together=8))
    assert times.of(REQUEST) == PictureTime(START_S, 0.0)


def test_sizes_guidance_and_variants_are_learnt_apart() -> None:
    times = taught(*[0.2] * 100)
    others = [
        generation_request(VARIANT, size=Size(768, 512)),
        generation_request(VARIANT, guidance_scale=1.0),
        generation_request(variant("djl", seconds_per_step=START_S)),
    ]
    assert [times.of(other).step_s for other in others] == pytest.approx([0.15, 0.1, 0.1])
    assert times.of(generation_request(VARIANT, guidance_scale=2.0)).step_s > 0.19


@pytest.mark.parametrize(
    "change", [{"instance_type": "ml.g5.2xlarge"}, {"artifact_key": "a5"}, {"seconds_per_step": 1}]
)
def test_a_variant_deployed_anew_is_learnt_anew(change: dict[str, Any]) -> None:
    times = taught(*[0.2] * 100)
    renewed = variant("g5", **{"seconds_per_step": START_S, **change})
    assert times.of(generation_request(renewed)).step_s == renewed.seconds_per_step


def test_a_request_that_fits_is_no_longer_refused_once_answers_have_shown_it() -> None:
    """The figure registered is twice too high, as the study's at 25 steps would be."""
    fast = FakeRuntime(
        change=lambda told: told["timings_ms"].update(denoise=25 * 50, vae_decode=80, encode=60)
    )
    world = World(runtime=fast)
    asked = {"prompt": "x", "n": 4, "num_inference_steps": 100}
    status, _, body = world.generate(**asked)  # 4 × 100 × 0.1 s
    assert (status, body["error"]["code"]) == (400, "too_slow")
    for _ in range(20):
        assert world.generate(prompt="x")[0] == 200
    assert world.generate(**asked)[0] == 200  # 4 × (100 × 0.05 s + 0.14 s) = 20.6 s
    assert 20 < world.logged[-1]["estimate_s"] < 23


def test_a_refused_request_or_a_failed_one_teaches_nothing() -> None:
    world = World()
    before = world.front_door.picture_times.of(REQUEST)
    world.generate(prompt="x", n=4, num_inference_steps=100)
    world.runtime.fails = RuntimeError("out of memory")
    world.generate(prompt="x")
    assert world.front_door.picture_times.of(REQUEST) == before


def test_a_mode_has_its_own_time_and_is_learnt_apart() -> None:
    half = variant(
        modes={
            "standard": {"steps": 20, "seconds_per_step": START_S},
            "fast": {"steps": 10, "guidance_until": 0.0, "seconds_per_step": START_S / 2},
        }
    )
    standard, fast = (generation_request(half, quality=name) for name in ("standard", "fast"))
    times = PictureTimes(FakeClock())
    assert times.of(fast).step_s == times.of(standard).step_s / 2 == START_S / 2
    times.learn(fast, answer(fast, START_S))
    assert times.of(fast).step_s > START_S / 2
    assert times.of(standard).step_s == START_S
