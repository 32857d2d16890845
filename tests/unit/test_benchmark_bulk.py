"""Batches by engine, by hand where they can be worked out, and what interruptions do to them."""

import json
import random
from pathlib import Path
from statistics import fmean

import pytest

from benchmark.cli import main
from benchmark.figures.bulk import DATA, NEURON, Job, Price, Spot, estimates, from_zero, spot_of
from benchmark.figures.bulk_tables import courses, published_table
from benchmark.figures.spot import Course, Range, SpotFleet, batches_of, expected, shards, simulate
from benchmark.figures.study import read_study
from benchmark.options import BulkOptions
from sd_contract.batch import PART_PICTURES, PICTURES
from tests.fakes.benchmark import FakeApi, refused, run_session, served

ROOT = Path(__file__).parents[2]


def job(pictures: int = 36_000, seconds: float = 2.0, **options: float) -> Job:
    """Served at $1 an hour, in bulk at $2, half of it on spot; 8 instances."""
    asked = BulkOptions(pictures, "inf2", **options)  # type: ignore[arg-type]
    spot = Spot(0.5, "", 0.0, "", 0.0, "")
    return Job(
        seconds_per_image=seconds,
        seconds_source="",
        serving_type="ml.inf2.xlarge",
        serving_price=Price(1.0, ""),
        bulk_type="ml.trn1.2xlarge",
        bulk_price=Price(2.0, ""),
        spot=spot,
        options=asked,
    )


# 36,000 pictures of 2 s are 20 hours of drawing, 2.5 on each of 8 instances. Starting takes 0.25 h.
# From zero: 0.25 h, then 0.25 h of one instance while the others start, then 19.75 h on 8; the
# first runs for 0.5 + 19.75/8 and half an hour idle, the others for 0.25 h less.
# In bulk the 360 parts are 45 for each.
@pytest.mark.parametrize(
    ("engine", "hours", "instance_hours", "usd"),
    [
        ("real-time, 6% of it", 2.5 / 0.06, 20, 20),
        ("real-time, for the batch alone", 2.75, 22, 22),
        ("asynchronous, from zero", 0.5 + 19.75 / 8, 8 * (0.75 + 19.75 / 8) + 0.25, None),
        ("bulk, on demand", 2.75, 22, 44),
        ("bulk, on spot", 2.75, 22, 22),
    ],
)
def test_each_engine_by_hand(
    engine: str, hours: float, instance_hours: float, usd: float | None
) -> None:
    found = {e.engine: e for e in estimates(job(start_up_minutes=15, idle_minutes=30))}[engine]
    assert found.hours == pytest.approx(hours)
    assert found.instance_hours == pytest.approx(instance_hours)
    spent = instance_hours if usd is None else usd
    assert found.usd == pytest.approx(spent + found.requests_usd)
    assert found.usd_per_million == pytest.approx((spent + found.requests_usd) / 0.036)


def test_what_a_picture_asks_of_other_services() -> None:
    """A million pictures of 2 s: two PUTs each; for the others their queue, calls and counters."""
    by_engine = {e.engine: e.requests_usd for e in estimates(job(1_000_000))}
    assert by_engine["bulk, on spot"] == pytest.approx(10)
    assert by_engine["asynchronous, from zero"] == pytest.approx(20 + 0.2 + 3.125)
    # No function waits for a share of the time.
    real_time = 10 + 2.05 + 0.4 + 3.125 + 16.6667
    assert by_engine["real-time, for the batch alone"] == pytest.approx(real_time)
    assert by_engine["real-time, 6% of it"] == pytest.approx(real_time)


def test_a_job_has_no_more_instances_than_parts() -> None:
    few = SpotFleet(8, 2.0, 600.0)
    for course in (expected(few, [150]), simulate(few, [150], random.Random(1))):
        assert course.instance_hours * 3600 == pytest.approx(2 * (600 + 100 * 2))


def test_a_few_pictures_wake_one_instance_alone() -> None:
    few = job(450, start_up_minutes=15, idle_minutes=30)  # a quarter of an hour's
    assert from_zero(few) == pytest.approx((0.5, 1.0))


def test_more_pictures_than_a_batch_holds_are_several() -> None:
    assert batches_of(PICTURES) == [PICTURES]
    assert batches_of(2 * PICTURES + 1) == [PICTURES, PICTURES, 1]
    one = job(PICTURES, start_up_minutes=60)
    two = job(PICTURES + 1, start_up_minutes=60)
    hours = [expected(each.fleet(), each.batches).hours for each in (one, two)]
    assert hours[1] == pytest.approx(hours[0] + 1 + 2 / 3600)


@pytest.mark.parametrize("pictures", [1, 99, 100, 101, 1234, 20_000])
@pytest.mark.parametrize("instances", [1, 3, 8])
def test_every_picture_is_in_one_shard_whole_parts_together(pictures: int, instances: int) -> None:
    draw = random.Random(pictures)
    parts = -(-pictures // PART_PICTURES)
    for _ in range(20):
        shared = shards([(0, pictures)], pictures, instances, draw.randrange(parts))
        assert len(shared) == instances
        of_picture = {p: i for i, s in enumerate(shared) for a, b in s for p in range(a, b)}
        assert sum(b - a for shard in shared for a, b in shard) == len(of_picture) == pictures
        for part in range(parts):
            first = part * PART_PICTURES
            of_part = range(first, min(first + PART_PICTURES, pictures))
            assert len({of_picture[picture] for picture in of_part}) == 1
        sizes = [sum(b - a for a, b in shard) for shard in shared]
        assert max(sizes) - min(sizes) <= 2 * PART_PICTURES


def test_over_a_thousand_seeds_no_line_is_lost_or_doubled() -> None:
    """Interrupted every half hour, in starts as well: 2,000 pictures with a short last part."""
    fleet = SpotFleet(3, 2.0, 300.0, 2.0, 600.0)
    pictures = 1_950
    for seed in range(1000):
        course = simulate(fleet, [pictures], random.Random(seed))
        assert (course.lost, course.doubled) == (0, 0), seed
        assert course.drawn_again <= course.interruptions * fleet.instances
        least_s = pictures * fleet.seconds_per_image + fleet.start_up_s * fleet.instances
        assert course.instance_hours * 3600 >= least_s


@pytest.mark.parametrize(
    "broken", [[[(0, 50)], [(0, 100)]], [[(0, 50)], []]], ids=["given twice", "given to none"]
)
def test_the_simulation_would_tell(broken: list[list[Range]]) -> None:
    course = simulate(SpotFleet(2, 1.0, 0.0), [100], random.Random(1), lambda *_: broken)
    assert course.doubled + course.lost == 50


@pytest.mark.parametrize("per_hour", [0.0, 0.05, 0.5, 3.0])
def test_the_mean_is_what_the_simulation_finds(per_hour: float) -> None:
    fleet, batches = SpotFleet(4, 2.0, 600.0, per_hour, 900.0), [20_000, 20_000]
    mean = expected(fleet, batches)
    ran = [simulate(fleet, batches, random.Random(seed)) for seed in range(2000)]

    assert fmean(course.instance_hours for course in ran) == pytest.approx(
        mean.instance_hours, rel=0.02
    )
    assert fmean(course.hours for course in ran) == pytest.approx(mean.hours, rel=0.05)
    assert fmean(course.interruptions for course in ran) == pytest.approx(
        mean.interruptions, rel=0.1
    )


def test_an_interruption_costs_a_start_and_the_pictures_at_hand() -> None:
    class Once(random.Random):
        """Interrupted 1000 s after the first start, then no more."""

        runs = 0

        def expovariate(self, lambd: float = 1.0) -> float:
            if lambd == 1 / 60:
                return 60.0
            self.runs += 1
            return 1000.0 if self.runs == 1 else float("inf")

    # Of 900 s of drawing each has finished 257 pictures in 899.5 s, and begun one more.
    course = simulate(SpotFleet(2, 3.5, 100.0, 1.0, 60.0), [1000], Once(1))
    assert (course.interruptions, course.drawn_again) == (1, 2)
    ran_s = 1000 + 100 + (500 - 257) * 3.5
    assert course.instance_hours * 3600 == pytest.approx(2 * ran_s)
    assert course.hours * 3600 == pytest.approx(ran_s + 60)
    assert course.longest_hours == course.hours


def test_where_the_assumptions_come_from() -> None:
    trn1 = spot_of("ml.trn1.2xlarge", BulkOptions(1, "inf2", instances=4))
    assert trn1.discount == 0.74
    # At most 5 % of instances in 730 hours.
    assert 1 - (1 - trn1.interruptions_per_hour / 4) ** 730 == pytest.approx(0.05, rel=1e-3)
    # "Over 20 %" has no upper end: what was seen elsewhere stands in for it.
    g5 = spot_of("ml.g5.xlarge", BulkOptions(1, "g5"))
    assert g5.interruptions_per_hour == DATA["traces"]["fleet_interruptions_per_hour"]
    given = BulkOptions(1, "x", spot_discount=0.5, interruptions_per_hour=0.0, wait_minutes=1.0)
    assert spot_of("ml.p9.large", given) == Spot(0.5, "as given", 0, "as given", 60, "as given")


def test_the_spread_of_the_cost_comes_of_the_interruptions() -> None:
    rows = {row.rate: row for row in courses(job(20_000, seeds=50))}
    calm, harsh = rows["as assumed"], rows["as in the traces"]
    assert calm.usd_per_million
    assert harsh.usd_per_million
    assert calm.usd_per_million.p50 == calm.usd_per_million.p99
    assert harsh.usd_per_million.p50 > calm.usd_per_million.p50
    assert harsh.usd_per_million.p99 > harsh.usd_per_million.p90 > harsh.usd_per_million.p50
    assert all(isinstance(course, Course) for course in harsh.courses)


def test_peers_stand_beside_what_ours_costs_by_their_seconds() -> None:
    rows = {row.label: row for row in published_table(job(), read_study(), "said").rows}
    inf2 = rows["the study: Inf2, ml.inf2.xlarge"]
    assert inf2.usd_per_million == 649.0
    assert inf2.ours == pytest.approx(2.36 * 1.0 / 3600 * 1e6 + 10)
    assert rows["the study: diffusers, ml.g5.xlarge"].usd_per_million == 1529.68
    assert rows["the study: diffusers, ml.g5.xlarge"].ours is None
    (eks,) = (row for label, row in rows.items() if "EKS" in label)
    assert (eks.usd_per_million, eks.usd_per_month, eks.seconds) == (240.0, 189.5, 1.5)


def test_command_prints_engines_interruptions_peers_and_assumptions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["bulk", "--pictures", "1000000", "--variant", "inf2", "--instances", "8"]
    assert main([*asked, "--seeds", "20"]) == 0
    out = capsys.readouterr().out
    for said in (
        "| real-time, 6% of it | ml.inf2.xlarge | $0.9900 | 1,365.7 | 655.6 |",
        "| bulk, on spot | ml.trn1.2xlarge |",
        "1,000,000 pictures, 8 instances; inf2; published latencies at 512x512",
        "| as in the traces | 0.5440 |",
        "$240.00 | $189.50",
        "--spot-discount",
        "20 seeds a row",
    ):
        assert said in out


def test_all_that_is_assumed_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bulk", "--pictures", "1000", "--variant", "mine", "--seeds", "3", "--instances", "1"]
    given = ["--seconds", "3.6", "--instance-type", "ml.g5.xlarge", "--bulk-usd-per-hour", "1"]
    spot = ["--spot-discount", "0.5", "--interruptions-per-hour", "0", "--wait-minutes", "0"]
    assert main([*asked, *given, *spot, "--start-up-minutes", "0"]) == 0
    out = capsys.readouterr().out
    assert "| bulk, on demand | ml.g5.xlarge | $1.0000 | 1.0 | 1.0 | $0.01 | $1.01 |" in out
    assert "| bulk, on spot | ml.g5.xlarge | $0.5000 | 1.0 | 1.0 | $0.01 | $0.51 |" in out
    assert "seconds as given" in out
    assert "as in the traces" not in out


def test_your_own_latencies_stand_in_for_the_studys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = FakeApi(seconds=1.8)
    api.variants = [served("inf2", instance_type="ml.inf2.xlarge")]
    ran = run_session(tmp_path, api)
    asked = ["bulk", "--pictures", "1000", "--variant", "inf2", "--seeds", "2"]
    assert main([*asked, "--results", str(ran.path)]) == 0
    out = capsys.readouterr().out
    assert "| seconds a picture | 1.800 | measured mean of 100 requests" in out
    assert "measured latencies at 512x512, 25 steps, 2026-11-22; prices us-east-1" in out


def test_a_region_without_prices_has_hours_and_says_no_price(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["bulk", "--pictures", "1000", "--variant", "inf2", "--region", "eu-west-1"]
    assert "give --spot-discount" in refused(capsys, *asked)
    assert main([*asked, "--seeds", "2", "--spot-discount", "0.7"]) == 0
    out = capsys.readouterr().out
    assert "| bulk, on spot | ml.trn1.2xlarge | no price |" in out
    assert "prices --refresh --region eu-west-1" in out


def test_a_variant_without_figures_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "bulk", "--pictures", "10", "--variant", "g6")
    assert "no figures of g6, only of g5, djl, inf2: give --seconds and --instance-type" in said


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--pictures", "0"),
        ("--spot-discount", "0.95"),
        ("--interruptions-per-hour", "-1"),
        ("--wait-minutes", "long"),
        ("--real-time-share", "1.5"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["bulk", "--variant", "inf2", "--pictures", "1", f"{option}={value}"])
    assert option in capsys.readouterr().err


def test_what_stands_in_the_settings_as_well_is_the_same() -> None:
    settings = json.loads((ROOT / "cdk.json").read_text())["context"]["sd"]
    assert BulkOptions(1, "inf2").real_time_share == settings["batch"]["real_time_share"]
    for kind in settings["kinds"].values():
        serving = kind["instance_type"]
        assert NEURON.get(serving, serving) == kind["bulk"]["instance_type"]


def test_each_figure_of_the_data_says_where_it_is_from() -> None:
    document = json.loads((ROOT / "benchmark" / "data" / "bulk.json").read_text())
    for entry in (document["spot"], document["traces"], document["ec2"], *document["peers"]):
        assert entry["source"]
    assert all(entry["source"] for entry in document["requests"].values())
