"""Monthly costs by hand, and break-evens where they can be worked out."""

import math
import random

import pytest

from benchmark.cli import main
from benchmark.figures.cost import (
    MOST_PER_DAY,
    Candidate,
    Mode,
    Range,
    compare,
    demand_of,
    monthly,
    running_share,
)
from benchmark.options import CostOptions
from tests.fakes.benchmark import refused

INF2 = Candidate("inf2", "ml.inf2.xlarge", 2.36, 0.99, "", "")
ASSUME = CostOptions(images_per_day=1)


# 3600 / 2.36 · 0.7 = 1067.8 pictures an hour an instance; without a peak, a tenth of the day's.
# Scheduled, 20,000 a day are 140,000 a week in 50 hours: 2,800 an hour. Scaled to zero, hours
# follow the load once one instance isn't enough.
@pytest.mark.parametrize(
    ("mode", "per_day", "peak", "instances", "hours"),
    [
        (Mode.ALWAYS_ON, 10_000, 1067, 1, 730),
        (Mode.ALWAYS_ON, 10_000, 1068, 2, 2 * 730),
        (Mode.ALWAYS_ON, 20_000, None, 2, 2 * 730),
        (Mode.ALWAYS_ON, 1, None, 1, 730),
        (Mode.SCHEDULED, 20_000, None, 3, 3 * 50 * 730 / 168),
        (Mode.SCALE_TO_ZERO, 100_000, None, 10, 100_000 * 2.36 / 3600 / 24 * 730 / 0.7),
    ],
)
def test_a_month(
    mode: Mode, per_day: float, peak: float | None, instances: int, hours: float
) -> None:
    month = monthly(INF2, mode, demand_of(CostOptions(per_day, peak)), ASSUME)
    assert month.instances == instances
    assert month.instance_hours == pytest.approx(hours)
    assert month.usd == pytest.approx(hours * 0.99)
    assert month.usd_per_thousand == pytest.approx(hours * 0.99 / (per_day * 730 / 24) * 1000)


@pytest.mark.parametrize("images_per_day", [1, 20, 96, 400])
def test_running_share_is_what_a_simulation_finds(images_per_day: float) -> None:
    draw = random.Random(1)
    rate = images_per_day / (24 * 60)
    on = off = 0.0
    for _ in range(4000):
        off += draw.expovariate(rate)
        on += ASSUME.start_up_minutes
        while (gap := draw.expovariate(rate)) <= ASSUME.idle_minutes:
            on += gap
        on += ASSUME.idle_minutes
        # Exponential gaps forget: from the moment it is let go, the next is as far off as ever.
    assert running_share(images_per_day, ASSUME) == pytest.approx(on / (on + off), rel=0.05)


def test_running_share_at_the_ends() -> None:
    assert running_share(1e-6, ASSUME) == pytest.approx(0, abs=1e-6)
    assert running_share(5_000_000, ASSUME) == 1.0


def test_break_even_is_found_exactly_where_there_is_one() -> None:
    ranges = compare(("fixed", lambda _: 1000.0), ("by use", lambda volume: volume * 0.5))
    # Alike while the dearer one is within 5 %: 1000/1.05 ≤ 0.5 v ≤ 1050.
    assert ranges == [
        Range(1, math.ceil(2000 / 1.05) - 1, "by use"),
        Range(math.ceil(2000 / 1.05), 2100, None),
        Range(2101, MOST_PER_DAY, "fixed"),
    ]
    never = compare(("a", lambda v: v), ("b", lambda v: 2 * v))
    assert never == [Range(1, MOST_PER_DAY, "a")]


def test_scale_to_zero_never_costs_more_than_always_on() -> None:
    for per_day in (1, 30, 300, 3_000, 30_000, 300_000):
        demand = demand_of(CostOptions(per_day))
        costs = [monthly(INF2, mode, demand, ASSUME).usd or 0 for mode in Mode]
        assert costs[2] <= costs[0] * (1 + 1e-9)


def test_command_prints_costs_break_evens_and_assumptions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cost", "--images-per-day", "2000", "--peak-per-hour", "500"]) == 0
    out = capsys.readouterr().out
    assert "| inf2 | ml.inf2.xlarge | always on | 1 | 730 | $722.70 |" in out
    assert "2,000 pictures a day, busiest hour 500" in out
    for said in ("Break-even volumes", "Assumptions", "as given", "10 h on 5 days a week"):
        assert said in out


def test_a_region_without_prices_has_hours_and_says_no_price(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["cost", "--images-per-day", "2000", "--peak-per-hour", "500"]
    assert main([*asked, "--region", "eu-west-3"]) == 0
    out = capsys.readouterr().out
    assert "| inf2 | ml.inf2.xlarge | always on | 1 | 730 | no price | no price |" in out
    assert "| always on | inf2 or g5 | no price |" in out.replace("g5 or inf2", "inf2 or g5")
    assert "| inf2: price | no price ml.inf2.xlarge | " in out
    assert "prices --refresh --region eu-west-3" in out
    # Whether a mode is cheaper than another doesn't hang on the price.
    assert main(asked) == 0
    known = capsys.readouterr().out
    choices = [line for line in out.splitlines() if line.startswith("| inf2 | always on or")]
    assert choices
    assert set(choices) <= set(known.splitlines())
    assert "$0" not in out


def test_a_peak_below_the_average_hour_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "cost", "--images-per-day", "2400", "--peak-per-hour", "99")
    assert "2400 a day are 100 in the average hour" in said


@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_a_volume_must_be_a_number_over_nought(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["cost", f"--images-per-day={value}"])
    assert "--images-per-day" in capsys.readouterr().err
