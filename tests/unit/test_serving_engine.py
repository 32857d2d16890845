from __future__ import annotations

import io
import itertools
import json
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sd_contract.invocation import STAGES
from sd_contract.sampling import Sampling, Step
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.engine import KEPT_PROMPTS, Engine
from sd_serving.errors import EngineError, OutOfMemory
from sd_serving.model_unusable import ModelUnusable
from tests.fakes.serving import FakeParts, config, failing, pixels, request


def engine(parts: FakeParts) -> Engine:
    return Engine(parts, config())


def test_a_picture_of_the_asked_size_with_its_seeds_and_timings() -> None:
    (result,) = engine(FakeParts()).generate([request(height=128, width=64, num_images=2)])
    assert [Image.open(io.BytesIO(png)).size for png in result.images] == [(64, 128)] * 2
    assert result.seeds == (7, 8)
    assert tuple(result.timings_ms) == STAGES
    assert result.images_in_batch == 2
    assert result.engine["prompt_tokens"] == 5


@pytest.mark.parametrize("per_pass", [1, 2, 3, None])
def test_an_image_of_n_is_the_one_made_alone(per_pass: int | None) -> None:
    made = engine(FakeParts(max_pictures_per_pass=per_pass))
    (together,) = made.generate([request(num_images=3, seed=2**32 - 2)])
    alone = [made.generate([request(seed=seed)])[0].images[0] for seed in together.seeds]
    assert list(together.images) == alone
    assert len({pixels(png).tobytes() for png in alone}) == 3


def test_requests_of_one_batch_get_what_they_would_get_alone() -> None:
    batch = [
        request(seed=1),
        request(prompt="a blue square", num_images=2, seed=5),
        request(negative_prompt="dark", seed=1),
    ]
    together = engine(FakeParts(max_pictures_per_pass=None)).generate(batch)
    alone = [engine(FakeParts()).generate([one])[0] for one in batch]
    assert [result.images for result in together] == [result.images for result in alone]
    assert [result.images_in_batch for result in together] == [4, 4, 4]


@pytest.mark.parametrize(
    ("per_pass", "rows"), [(1, [2] * 9), (2, [4] * 3 + [2] * 3), (None, [6] * 3)]
)
def test_the_parts_decide_how_many_images_share_a_pass(
    per_pass: int | None, rows: list[int]
) -> None:
    parts = FakeParts(max_pictures_per_pass=per_pass)
    engine(parts).generate([request(num_images=3)])
    assert [len(latents) for latents, _, _ in parts.denoise_calls] == rows
    assert sum(len(latents) for latents in parts.decode_calls) == 3


def test_guidance_rows_are_all_unconditional_then_all_conditional() -> None:
    parts = FakeParts(max_pictures_per_pass=None)
    batch = [
        request(negative_prompt="bad"),
        request(prompt="a blue square", negative_prompt="dull"),
    ]
    engine(parts).generate(batch)
    rows = ["bad", "dull", "a red circle", "a blue square"]
    latents, t, embeds = parts.denoise_calls[0]
    assert torch.equal(embeds, parts.encode(rows))
    assert torch.equal(latents[:2], latents[2:])
    assert t == 999


def test_guidance_of_1_runs_no_unconditional_rows_and_ignores_the_negative_prompt() -> None:
    parts = FakeParts()
    made = engine(parts)
    (plain,) = made.generate([request(guidance_scale=1.0)])
    assert {len(latents) for latents, _, _ in parts.denoise_calls} == {1}
    assert parts.encode_calls == [["a red circle"]]
    (negative,) = made.generate([request(guidance_scale=1.0, negative_prompt="dark")])
    assert np.array_equal(pixels(negative.images[0]), pixels(plain.images[0]))


def test_prompt_negative_prompt_guidance_steps_and_seed_each_change_the_picture() -> None:
    made = engine(FakeParts())
    asked = [
        request(),
        request(prompt="a blue square"),
        request(negative_prompt="dark"),
        request(guidance_scale=3.0),
        request(num_inference_steps=5),
        request(seed=8),
    ]
    pictures = {pixels(made.generate([one])[0].images[0]).tobytes() for one in asked}
    assert len(pictures) == len(asked)


def test_each_text_is_encoded_once() -> None:
    parts = FakeParts(max_pictures_per_pass=None)
    engine(parts).generate([request(num_images=4), request(prompt="", seed=1)])
    assert parts.encode_calls == [["a red circle"], [""]]


def test_a_text_that_comes_again_is_not_encoded_again_and_draws_the_same() -> None:
    parts = FakeParts()
    made = engine(parts)
    (first,) = made.generate([request()])
    (again,) = made.generate([request()])
    assert again.images == first.images
    assert parts.encode_calls == [["a red circle"], [""]]


def test_of_many_texts_the_latest_are_kept() -> None:
    parts = FakeParts()
    made = engine(parts)
    for number in range(KEPT_PROMPTS + 1):
        made.generate([request(prompt=f"{number} circles", guidance_scale=1.0)])
    parts.encode_calls.clear()
    made.generate([request(prompt="1 circles", guidance_scale=1.0)])
    assert parts.encode_calls == []
    made.generate([request(prompt="0 circles", guidance_scale=1.0)])
    assert parts.encode_calls == [["0 circles"]]


def test_a_warm_up_runs_every_network_though_its_text_is_known() -> None:
    parts = FakeParts()
    made = engine(parts)
    made.warm_up()
    parts.encode_calls.clear()
    made.warm_up()
    assert parts.encode_calls == [["a red circle"], [""]]


def test_a_text_whose_encoding_failed_is_encoded_anew() -> None:
    parts = FakeParts()
    made, encode = engine(parts), parts.encode
    failure = failing(ValueError("no luck"))

    def encode_at_the_second_try(prompts: list[str]) -> torch.Tensor:
        failure()
        return encode(prompts)

    vars(parts)["encode"] = encode_at_the_second_try
    with pytest.raises(EngineError, match="text_encoder failed: no luck"):
        made.generate([request()])
    (later,) = made.generate([request()])
    assert later.images == engine(FakeParts()).generate([request()])[0].images


def test_noise_is_the_cpu_generators_in_float32() -> None:
    parts = FakeParts()
    engine(parts).generate([request(seed=123)])
    expected = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(123))
    assert torch.equal(parts.denoise_calls[0][0][:1], expected)


def test_a_picture_s_file_is_written_while_the_next_is_drawn() -> None:
    written = threading.Event()

    class Watched(Engine):
        def _file(self, *picture: Any) -> bytes:
            file = super()._file(*picture)
            written.set()
            return file

    def wait_for_the_first() -> None:
        if len(parts.denoise_calls) == 3:
            assert written.wait(60), "the second picture's steps come before the first one's file"

    parts = FakeParts(before_denoise=wait_for_the_first)
    Watched(parts, config()).generate([request(num_images=2, num_inference_steps=3)])


def test_a_file_that_cannot_be_written_is_an_error_of_the_engine() -> None:
    asked = request(output_format="jpeg", output_compression=None)
    with pytest.raises(EngineError, match="encode failed"):
        engine(FakeParts()).generate([asked])


def test_latents_are_decoded_unscaled() -> None:
    parts = FakeParts(noise_of=torch.zeros_like)
    engine(parts).generate([request()])
    undisturbed = parts.denoise_calls[0][0][:1]
    assert torch.equal(parts.decode_calls[0], undisturbed / parts.scaling_factor)


def test_pixels_are_rounded_and_cut_to_their_range() -> None:
    shades = torch.tensor([-9.0, -1.0, -0.002, 0.004, 0.998, 1.0, 9.0, 0.5])

    class Shades(FakeParts):
        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return shades.expand(len(latents), 3, 8, 8)

    (result,) = engine(Shades()).generate([request()])
    row = np.asarray(Image.open(io.BytesIO(result.images[0])))[0, :, 0]
    assert row.tolist() == [0, 0, 127, 128, 255, 255, 255, 191]


def test_a_batch_must_be_of_one_kind() -> None:
    for batch in (
        [],
        [request(), request(num_inference_steps=4)],
        [request(), request(quality="fast")],
    ):
        with pytest.raises(ValueError, match="one size, steps, guidance, strength and quality"):
            engine(FakeParts()).generate(batch)


def test_warm_up_makes_a_picture_and_an_edit_of_every_size() -> None:
    parts = FakeParts()
    engine(parts).warm_up()
    shapes = [(len(latents), *latents.shape[2:]) for latents, _, _ in parts.denoise_calls]
    one, other = [(2, 8, 8), (1, 8, 8)], [(2, 16, 8), (1, 16, 8)]
    assert shapes == [*one, *other, one[1], other[1]]


@pytest.mark.parametrize(
    ("modes", "steps"),
    [
        ({}, 2),
        ({"fast": {"steps": 20, "guidance_until": 0.8}}, 5),
        ({"fast": {"steps": 20, "deep_cache": 3}}, 2),
        ({"fast": {"steps": 20, "deep_cache": 2, "guidance_until": 0.8}}, 10),
        (
            {
                "standard": {"steps": 20, "guidance_until": 0.5},
                "fast": {"steps": 10, "deep_cache": 2},
            },
            4,
        ),
    ],
)
def test_warm_up_has_every_kind_of_step_that_a_mode_has(modes: dict[str, Any], steps: int) -> None:
    parts, told = FakeParts(), json.dumps({"standard": {"steps": 20}, **modes})
    warm = Engine(parts, config(SD_SIZES="64x64", SD_MODES=told))
    warm.warm_up()
    run = [
        Step(len(latents) == 2, full)
        for (latents, _, _), full in zip(parts.denoise_calls, parts.full_steps, strict=True)
    ]
    assert {step for mode in warm.config.modes.values() for step in mode.plan()} <= {*run[:-1]}
    assert (len(run) - 1, run[-1]) == (steps, Step(guided=False, full=True))  # an edit's is last


def test_warm_up_makes_the_largest_pass_first() -> None:
    parts = FakeParts(max_pictures_per_pass=4)
    engine(parts).warm_up()
    rows = [len(latents) for latents, _, _ in parts.denoise_calls]
    assert rows[0] == max(rows) == 8
    assert 2 in rows


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_after_out_of_memory_the_next_request_works(error: Exception) -> None:
    countdown = itertools.count()

    def second_step_fails() -> None:
        if next(countdown) == 1:
            raise error

    made = engine(FakeParts(before_denoise=second_step_fails))
    with pytest.raises(OutOfMemory, match="out of memory in denoise on cpu") as caught:
        made.generate([request()])
    assert caught.value.__context__ is None, "its traceback would keep the tensors alive"
    expected = engine(FakeParts()).generate([request()])[0].images
    assert made.generate([request()])[0].images == expected


def test_any_other_failure_names_the_stage_and_keeps_its_cause() -> None:
    parts = FakeParts(before_denoise=failing(KeyError("weights")))
    with pytest.raises(EngineError, match="denoise failed") as caught:
        engine(parts).generate([request()])
    assert not isinstance(caught.value, OutOfMemory)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_picture_that_is_not_finite_is_an_error_not_a_black_picture() -> None:
    parts = FakeParts(noise_of=lambda noise: noise * float("inf"))
    with pytest.raises(EngineError, match="not finite in float32"):
        engine(parts).generate([request()])


def test_describes_the_answer() -> None:
    (result,) = engine(FakeParts()).generate([request()])
    about = result.engine
    assert about["variant"] == "fake"
    assert about["steps"] == 3
    assert about["artifact_key"] == "key-of-the-weights"
    assert about["scheduler"] == "DPM-Solver++ 2M"
    assert (about["quality"], about["sigmas"]) == ("standard", "linspace")
    assert about["torch"] == torch.__version__
    assert about["double"] is True


def test_a_mode_says_how_it_is_drawn_and_the_request_in_how_many_steps() -> None:
    parts = FakeParts()
    (answer,) = engine(parts).generate([request(quality="fast", num_inference_steps=6)])
    assert parts.samplings == [Sampling(6, "karras", 0.5)]
    # Guidance for half of the steps: its rows are there, and then they aren't.
    assert [len(latents) for latents, _, _ in parts.denoise_calls] == [2, 2, 2, 1, 1, 1]
    assert (answer.engine["quality"], answer.engine["sigmas"]) == ("fast", "karras")


def test_without_the_unconditional_half_the_prompt_alone_counts() -> None:
    parts = FakeParts()
    engine(parts).generate([request(quality="fast", num_inference_steps=2, prompt="a fox")])
    guided, last = (embeds for _, _, embeds in parts.denoise_calls)
    assert torch.equal(last, guided[1:])


def test_a_mode_that_is_not_served_is_no_other() -> None:
    served = ServingConfig("x", "k", (Size(64, 64),), {"standard": Sampling(3)}, 4.0, "auto")
    with pytest.raises(EngineError, match="quality 'fast' is not served"):
        Engine(FakeParts(), served).generate([request(quality="fast")])


def test_every_nth_step_is_full() -> None:
    served = {"standard": Sampling(5, deep_cache=2, guidance_until=0.6)}
    parts = FakeParts()
    Engine(parts, replace(config(), modes=served)).generate([request(num_inference_steps=5)])
    # At the fourth guidance ends, and with it the rows that a shallow step would need.
    assert parts.full_steps == [True, False, True, True, False]


def test_a_mode_is_refused_that_the_networks_can_t_do() -> None:
    served = {"standard": Sampling(5), "fast": Sampling(5, deep_cache=2)}
    with pytest.raises(ModelUnusable, match="deep_cache of fast must be 1"):
        Engine(FakeParts(keeps_deep_half=False), replace(config(), modes=served))
