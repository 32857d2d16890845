"""The flop count against figures got in other ways: by hand, and by others with other tools."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.figures.flops import count_work
from benchmark.figures.limit import ACCELERATORS, accelerator_of, least_seconds
from tests.fakes.benchmark import FakeApi, prompts, refused, run_session

TERA = 1e12
BY_NAME = {accelerator.name: accelerator for accelerator in ACCELERATORS}


def test_text_encoder_counted_by_hand() -> None:
    """23 layers of 12·d² weights a token, and the attention's two products; 77 tokens, d = 1024."""
    tokens, width, layers = 77, 1024, 23
    expected = 2 * layers * (12 * tokens * width**2 + 2 * tokens**2 * width)
    assert count_work(512, 512).text_encoder.flops == expected


def test_parts_of_a_picture() -> None:
    work = count_work(512, 512)
    assert work.unet.flops / TERA == pytest.approx(0.804, abs=5e-4)
    assert work.vae_decoder.flops / TERA == pytest.approx(2.515, abs=5e-4)
    assert work.text_encoder.flops / TERA == pytest.approx(0.045, abs=5e-4)
    assert work.unet.parameters == 865_910_724  # as Stability AI gives it: 866 M


def test_against_counts_published_by_others() -> None:
    """Nota-NetsPresso/BK-SDM#53, made with `thop` for SD 1.4, which counts layers but not the
    products inside attention: decoder 1,240.08 GMACs (the same one here), UNet 338.7 GMACs (the
    same one but for the text's width)."""
    work = count_work(512, 512)
    middle_attention = 2 * 4096 * 4096 * 512
    decoder = work.vae_decoder.flops / 2 - middle_attention
    assert decoder == pytest.approx(1_240_079_532_032, rel=1e-4)

    # Per level: two blocks going down, three going up; the last level has one in the middle only.
    levels = [(4096, 320, 5), (1024, 640, 5), (256, 1280, 5), (64, 1280, 1)]
    attention = sum(
        blocks * (2 * tokens * tokens * width + 2 * tokens * 77 * width)
        for tokens, width, blocks in levels
    )
    assert work.unet.flops / 2 - attention == pytest.approx(338_749_194_240, rel=5e-3)


def test_steps_and_guidance_multiply() -> None:
    work = count_work(512, 512)
    for steps, teraflop in ((50, 83.0), (25, 42.8)):
        flops = sum(calls.flops for calls in work.per_image(steps, 7.5))
        assert flops / TERA == pytest.approx(teraflop, abs=0.05)
    unguided = [calls.flops for calls in work.per_image(25, 1.0)]
    assert unguided[:2] == [work.text_encoder.flops, 25 * work.unet.flops]


def test_larger_pictures_take_more_than_their_pixels() -> None:
    larger, smaller = count_work(1024, 1024), count_work(512, 512)
    assert larger.unet.flops > 4 * smaller.unet.flops
    assert larger.text_encoder == smaller.text_encoder


def test_least_seconds() -> None:
    work = count_work(512, 512)
    seconds = {
        name: [least_seconds(work, BY_NAME[name], steps, 7.5).least for steps in (50, 25)]
        for name in ("A10G", "Inferentia2")
    }
    assert seconds["A10G"] == pytest.approx([1.19, 0.61], abs=5e-3)
    assert seconds["Inferentia2"] == pytest.approx([0.44, 0.23], abs=5e-3)


def test_where_memory_is_slower_than_arithmetic_it_sets_the_limit() -> None:
    work = count_work(512, 512)
    starved = replace(BY_NAME["A10G"], bandwidth_gb_per_s=1)
    limit = least_seconds(work, starved, steps=25, guidance_scale=7.5)
    assert limit.least == pytest.approx(limit.weights)
    assert limit.weights == pytest.approx((25 * 865.9e6 + 340.4e6 + 49.5e6) * 2 / 1e9, rel=1e-3)


def test_every_accelerator_has_a_source() -> None:
    assert set(BY_NAME) == {"A10G", "L4", "L40S", "Inferentia2"}
    assert all("https://" in accelerator.source for accelerator in ACCELERATORS)
    assert accelerator_of("ml.inf2.xlarge") is BY_NAME["Inferentia2"]
    assert accelerator_of("ml.m5.large") is None


@pytest.mark.parametrize(
    ("size", "said"),
    [("500x512", "multiples of 64"), ("768x768", "the results are of 512x512: give --size")],
)
def test_command_refuses_sizes_that_do_not_fit(
    size: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_session(tmp_path, FakeApi(), prompts(1)).path
    results = ["--results", str(path)] if size == "768x768" else []
    assert said in refused(capsys, "limit", "--size", size, *results)


def test_command_sets_a_run_beside_the_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_session(tmp_path, FakeApi(seconds=2.0), prompts(1)).path
    assert main(["limit", "--results", str(path)]) == 0
    assert "| g5 | A10G | 2.000 | 0.612 | 30.6% |" in capsys.readouterr().out
    assert main(["cost", "--images-per-day", "2000", "--results", str(path)]) == 0
    assert "measured mean of 1 requests, 1 at a time" in capsys.readouterr().out
