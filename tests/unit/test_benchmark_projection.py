"""What published seconds would become, against sums done by hand."""

import json
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.figures.flops import count_work
from benchmark.figures.study import Published
from benchmark.options import ProjectOptions
from benchmark.quality.projection import Projected, project
from benchmark.quality.settings import named
from benchmark.quality.work import full_size

STUDY = Published("g5", "ml.g5.xlarge", 4.0)
WORK = count_work(512, 512)
FIXED = 2 * WORK.text_encoder.flops + WORK.vae_decoder.flops


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "quality.json"
    row = {"setting": "15-karras", "scores": {"all right": 0.99}, "db_median": 48.2}
    path.write_text(json.dumps({"rows": [row]}))
    return path


def test_seconds_shrink_with_the_whole_pictures_arithmetic() -> None:
    row = Projected(STUDY, named("10-karras"), usd_per_hour=1.8)
    share = (20 * WORK.unet.flops + FIXED) / (102 * WORK.unet.flops + FIXED)
    assert row.share == pytest.approx(share)
    assert row.seconds == pytest.approx(4.0 * share)
    assert row.usd_per_million == pytest.approx(4.0 * share * 1.8 / 3600 * 1e6)


def test_stated_steps_are_taken_as_stated() -> None:
    stated = Published("inf2", "ml.inf2.xlarge", 1.68, steps=50)
    assert Projected(stated, named("50-karras"), None).seconds == pytest.approx(1.68)
    assert Projected(STUDY, named("50-karras"), None).seconds < 4.0


def test_steps_without_guidance_or_from_the_cache_are_less() -> None:
    row = Projected(STUDY, named("4-karras-guidance0.5-cache2"), None)
    full, shallow = WORK.unet.flops, full_size().shallow
    flops = 2 * full + 2 * shallow + full + shallow + FIXED
    assert row.share == pytest.approx(flops / (102 * full + FIXED))


def test_the_share_of_the_chips_limit_stays() -> None:
    """70 TFLOP/s of the A10G."""
    shares = {Projected(STUDY, named(name), None).of_the_limit for name in ("25-ays", "9-karras")}
    expected = (102 * WORK.unet.flops + FIXED) / 70e12 / 4.0
    assert list(shares) == [pytest.approx(expected)] * len(shares)
    assert Projected(Published("?", "ml.p9.xlarge", 1.0), named("9-karras"), None).of_the_limit is (
        None
    )


def test_seconds_dollars_and_quality_side_by_side(measured: Path) -> None:
    said = project(ProjectOptions(settings=("15-karras", "9-karras"), quality=measured))
    rows = [line.split(" | ") for line in said.splitlines() if "-karras" in line]
    assert len(rows) == 8  # the study's three and the newest of Neuron's
    assert [row[-2:] for row in rows[:2]] == [["99.0%", "48.2 |"], ["–", "– |"]]
    assert all(row[-3].startswith("$") for row in rows)
    assert "calculated, nothing measured" in said
    elsewhere = project(
        ProjectOptions(settings=("9-karras",), region="eu-north-1", quality=measured)
    )
    assert elsewhere.count("no price") == 4


def test_without_measured_quality_it_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["project", "--quality", str(tmp_path / "none.json")]) == 1
    assert "python -m benchmark quality" in capsys.readouterr().err
