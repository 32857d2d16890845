"""The quality harness on the small model: that it draws what the containers draw, counts what is
run, tells good settings from bad ones, and advises by its figures."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmark.cli import main
from benchmark.errors import BenchmarkError
from benchmark.figures.flops import count_work
from benchmark.options import QualityOptions
from benchmark.quality.command import quality
from benchmark.quality.drawn import Drawn
from benchmark.quality.front import advise, front
from benchmark.quality.measure import Drawing, Measured, Subject, measure
from benchmark.quality.settings import (
    BASELINE,
    REFERENCE,
    SETTINGS,
    STUDY_EVALUATIONS,
    name_of,
    named,
)
from benchmark.quality.subjects import lpips_by, subject_of
from benchmark.quality.work import Rows, UnetWork, full_size
from model_assets.tiny.tokenizer import WEIGHTS
from sd_contract.invocation import Invocation
from sd_contract.sampling import STANDARD, Sampling
from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine
from sd_serving.errors import EngineError
from stacks.settings import ROOT, load

CPU = torch.device("cpu")
FIGURES = ROOT / "docs" / "speed" / "quality.json"


@cache
def small(prompts: int = 2) -> Subject:
    return subject_of(QualityOptions(prompts=prompts))


def fresh_unet() -> Any:
    return load_diffusers(WEIGHTS, dtype=torch.float32, device=CPU).unet


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.Generator().manual_seed(3)
    return torch.randn(2, 4, 8, 8, generator=noise), torch.randn(2, 77, 64, generator=noise)


@contextmanager
def counted(depth: int = 1) -> Iterator[FlopCounterMode]:
    """With attention in the operations that the counter knows."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, depth=depth) as counter:
        yield counter


@pytest.mark.parametrize(
    ("text", "sampling"),
    [
        ("15-karras", Sampling(15, "karras")),
        ("25-linspace-guidance0.8", Sampling(25, "linspace", guidance_until=0.8)),
        ("12-ays-guidance0.5-cache3", Sampling(12, "ays", 0.5, 3)),
    ],
)
def test_a_setting_and_its_name(text: str, sampling: Sampling) -> None:
    assert named(text) == sampling
    assert name_of(sampling) == text


@pytest.mark.parametrize("text", ["karras", "0-karras", "15-cosine", "15-karras-cache1", "15"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(BenchmarkError, match="STEPS-SIGMAS"):
        named(text)
    with pytest.raises(BenchmarkError, match="from 1 to 100, not 101"):
        named("101-karras")


def test_settings_are_told_apart_by_their_names() -> None:
    assert BASELINE in SETTINGS
    assert len({name_of(setting) for setting in SETTINGS}) == len(SETTINGS)


def test_the_studys_evaluations_are_its_schedulers() -> None:
    from diffusers import PNDMScheduler

    scheduler = PNDMScheduler.from_pretrained(WEIGHTS / "scheduler")
    scheduler.set_timesteps(50)
    assert 2 * len(scheduler.timesteps) == STUDY_EVALUATIONS


def test_the_baseline_draws_what_the_containers_draw() -> None:
    subject = small()
    modes = {STANDARD: BASELINE}
    config = ServingConfig("tiny", "", (subject.size,), modes, subject.guidance_scale, "float32")
    parts = load_diffusers(WEIGHTS, dtype=torch.float32, device=CPU, max_pictures_per_pass=None)
    answers = Engine(parts, config).generate(
        [
            Invocation(case.text, "", 1, subject.size, 25, subject.guidance_scale, case.seed)
            for case in subject.cases
        ]
    )
    for png, answer in zip(Drawing(subject).draw(BASELINE), answers, strict=True):
        assert png == answer.images[0]


@pytest.mark.parametrize(
    ("setting", "rows"),
    [
        ("5-karras", Rows(10)),
        ("5-karras-guidance0.6", Rows(8)),
        ("5-karras-cache2", Rows(6, shallow=4)),
        # The row alone can't go on with a pair's deep half.
        ("5-karras-guidance0.6-cache3", Rows(3, shallow=5)),
    ],
)
def test_a_pictures_rows_are_those_that_go_through_the_unet(setting: str, rows: Rows) -> None:
    subject = small()
    through = dict.fromkeys(("down_blocks", "mid_block"), 0)

    def counting(name: str) -> Any:
        def count(_: Any, args: Any, kwargs: Any) -> None:
            through[name] += len(args[0] if args else kwargs["hidden_states"])

        return count

    unet = subject.parts.unet
    hooks = [
        module.register_forward_pre_hook(counting(name), with_kwargs=True)
        for name, module in (("down_blocks", unet.down_blocks[0]), ("mid_block", unet.mid_block))
    ]
    try:
        Drawing(subject).draw(named(setting))
    finally:
        for hook in hooks:
            hook.remove()
    assert Rows.of(named(setting)) == rows
    pictures = len(subject.cases)
    assert through == {"down_blocks": pictures * rows.all, "mid_block": pictures * rows.full}


def test_the_full_size_unet_is_the_one_that_limit_counts() -> None:
    assert full_size().full == count_work(512, 512).unet.flops
    assert 0.3 < full_size().shallow / full_size().full < 0.4


def test_a_shallow_row_is_the_first_block_down_and_the_last_one_up() -> None:
    """By the flop counter's own list of modules."""
    latents, embeds = inputs()
    unet = fresh_unet()
    with counted(depth=9) as counter, torch.inference_mode():
        unet(latents[:1], torch.tensor([1]), encoder_hidden_states=embeds[:1])
    counts = counter.get_flop_counts()

    def of(part: str) -> int:
        return sum(counts[f"UNet2DConditionModel.{part}"].values())

    shallow = ("time_embedding", "conv_in", "down_blocks.0", "up_blocks.1", "conv_out")
    assert Drawing(small()).work() == UnetWork(
        sum(counts["Global"].values()), sum(map(of, shallow))
    )


def test_a_pictures_flops_are_those_of_its_rows() -> None:
    """Counted again in the loop itself, texts and decoding aside."""
    subject = replace(small(), cases=small().cases[:1])
    drawing = Drawing(subject)

    def flops(setting: str) -> int:
        with counted() as counter:
            drawing.draw(named(setting))
        total: int = counter.get_total_flops()
        return total

    more, fewer = "3-karras-guidance0.6-cache2", "1-karras"
    work = drawing.work()
    assert flops(more) - flops(fewer) == work.of(Rows.of(named(more))) - work.of(Rows(2))


def test_the_study_takes_all_of_its_share() -> None:
    assert UnetWork(10, 4).share(Rows(STUDY_EVALUATIONS)) == 1
    assert UnetWork(10, 4).share(Rows(51, shallow=51)) == pytest.approx(0.7)


def test_what_is_drawn_is_not_drawn_again(tmp_path: Path) -> None:
    subject = replace(small(3), batch=2)
    few, fewer = named("2-karras"), named("1-karras")
    drawn = Drawn(tmp_path, [], WEIGHTS)
    pictures = Drawing(subject, drawn).draw(few)
    asleep = replace(subject, parts=replace(subject.parts, unet=None))
    assert Drawing(asleep, Drawn(tmp_path, [], WEIGHTS)).draw(few) == pictures
    for other in (Drawn(tmp_path, ["other prompts"], WEIGHTS), Drawn(tmp_path, [], tmp_path)):
        with pytest.raises(EngineError):
            Drawing(asleep, other).draw(few)
    with pytest.raises(EngineError):
        Drawing(asleep, drawn).draw(fewer)


def test_a_batch_that_is_there_in_part_is_drawn_anew(tmp_path: Path) -> None:
    setting = named("2-karras")
    drawn = Drawn(tmp_path, [], WEIGHTS)
    drawn.write(setting, range(2), [b"one", b"two"])
    assert drawn.read(setting, range(2)) == [b"one", b"two"]
    assert drawn.read(setting, range(1, 3)) is None


def test_more_steps_are_nearer_and_too_few_are_wrong() -> None:
    subject = small(6)
    settings = [named(name) for name in ("2-karras", "8-karras", "15-karras", name_of(REFERENCE))]
    few, some, many, all_of_them = measure(subject, settings)
    assert few.db_median < some.db_median < many.db_median < all_of_them.db_median
    assert all_of_them.db_p5 == 100  # itself
    assert few.scores["all right"] < many.scores["all right"] == 1


def measured(name: str, share: float, right: float, db: Sequence[float]) -> Measured:
    return Measured(named(name), share, db, {"all right": right})


BASE = measured("25-linspace", 0.49, 0.99, (39.0, 46.0, 47.0))
BEST = measured("15-karras", 0.29, 0.99, (41.0, 48.0, 49.0))


def test_the_front_is_what_nothing_beats() -> None:
    fast = measured("10-karras", 0.196, 0.98, (26.0, 38.0, 40.0))
    worse = measured("10-linspace", 0.196, 0.98, (26.0, 37.0, 40.0))
    assert front([BASE, BEST, worse, fast]) == [fast, BEST]
    assert front([BEST, BEST]) == [BEST, BEST]


@pytest.mark.parametrize(
    "name_and_figures",
    [
        ("12-karras", 0.24, 0.975, (42.0, 48.0, 49.0)),
        ("12-karras", 0.24, 0.99, (38.0, 48.0, 49.0)),
        ("12-karras", 0.24, 0.99, (42.0, 45.0, 49.0)),
    ],
    ids=["wrong pictures", "5th percentile", "median"],
)
def test_standard_is_no_worse_than_the_baseline_in_anything(name_and_figures: Any) -> None:
    assert advise([BASE, BEST, measured(*name_and_figures)]).standard == BEST
    assert advise([BASE]).standard == BASE


def test_fast_is_the_nearest_within_its_share_that_draws_what_is_asked() -> None:
    good = measured("10-karras", 0.196, 0.98, (26.0, 36.0, 40.0))
    nearer = measured("14-karras-cache2", 0.19, 0.975, (26.0, 38.0, 40.0))
    dearer = measured("12-karras", 0.24, 0.99, (35.0, 43.0, 45.0))
    assert advise([BASE, BEST, dearer, nearer, good]).fast == good
    assert advise([BASE, BEST, dearer, nearer]).fast is None


def test_advice_needs_the_baseline() -> None:
    with pytest.raises(BenchmarkError, match="25-linspace"):
        advise([BEST])


def test_the_command_writes_its_figures_down(tmp_path: Path) -> None:
    settings = ("4-karras", "3-linspace-cache2")
    options = QualityOptions(prompts=2, settings=settings, out=tmp_path, drawn=tmp_path)
    said = quality(options)
    document = json.loads((tmp_path / "quality.json").read_text())
    assert [row["setting"] for row in document["rows"]] == [name_of(BASELINE), *settings]
    assert document["rows"][1]["rows"] == {"full": 8, "shallow": 0}
    assert document["rows"][1]["share"] == pytest.approx(8 / 102)
    assert {Sampling(**row["sampling"]) for row in document["rows"]} == {
        BASELINE,
        *map(named, settings),
    }
    text = (tmp_path / "quality.md").read_text()
    assert "| 4-karras |" in text
    assert "2 prompts, guidance 4, float32 on cpu" in text
    assert '"standard": {"steps"' in said
    assert (tmp_path / "quality.svg").read_text().startswith("<svg")


def test_real_weights_with_the_models_that_judge_them(tmp_path: Path) -> None:
    """The small model's folder as a user's own."""
    subject = subject_of(
        QualityOptions(prompts=1, model=WEIGHTS, size=(64, 64), guidance=4.0, prompt_set="tiny")
    )

    def score(prompt: str, png: bytes) -> dict[str, float]:
        return {"CLIP score": len(prompt) + len(png[:2])}

    judged = replace(subject, score=score, distance=lpips_by(_far_by_mean))
    options = QualityOptions(1, ("2-karras",), model=WEIGHTS, out=tmp_path, drawn=tmp_path)
    said = quality(options, lambda _: judged)
    (header,) = [line for line in said.splitlines() if line.startswith("| setting")]
    assert "| CLIP score |" in header
    assert "| LPIPS |" in header
    base, few = json.loads((tmp_path / "quality.json").read_text())["rows"]
    assert 0 <= base["lpips"][0] < few["lpips"][0]
    assert base["scores"]["CLIP score"] == len(subject.cases[0].text) + 2


def _far_by_mean(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    assert one.shape == other.shape == (1, 3, 64, 64)
    assert -1 <= one.min() <= one.max() <= 1
    return (one - other).abs().mean()


def test_what_the_user_can_put_right_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quality", "--settings", "15-cosine"]) == 1
    assert "'15-cosine' is none" in capsys.readouterr().err
    assert main(["quality", "--model", str(tmp_path)]) == 1
    assert f"--model {tmp_path}" in capsys.readouterr().err


def test_the_small_models_modes_are_what_the_harness_advises() -> None:
    """docs/speed is of the settings that are compared, and cdk.json's local profile follows it."""
    document = json.loads(FIGURES.read_text())
    assert [row["setting"] for row in document["rows"]] == [name_of(each) for each in SETTINGS]
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    for variant in load({**context, "profile": "local"}).variants:
        modes = {name: name_of(each) for name, each in variant.modes.samplings.items()}
        assert modes == document["advised"]


def test_the_work_in_docs_is_what_is_counted() -> None:
    document = json.loads(FIGURES.read_text())
    work = Drawing(small()).work()
    for row in document["rows"]:
        rows = Rows.of(named(row["setting"]))
        assert row["rows"] == asdict(rows)
        assert row["share"] == work.share(rows)
        assert row["share_sd21_base"] == full_size().share(rows)
