"""A run's record: failures as they were, nothing repeated, nothing mixed."""

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api_client import Api
from benchmark.errors import BenchmarkError
from benchmark.options import RunOptions
from benchmark.report.analysis import analyse
from benchmark.report.tables import failures_table, run_tables
from benchmark.run.client import Caller
from benchmark.run.records import Key, ResultsFile, read_results
from stacks.catalogue.prices import Price, Prices
from tests.fakes.benchmark import (
    NO_PRICE,
    THREE,
    URL,
    FakeApi,
    prompts,
    run_info,
    run_jumping,
    run_session,
    served,
)

NO_PRICES = Prices("2026-11-22", {})


def test_failures_and_timeouts_are_counted_and_bend_no_latency(tmp_path: Path) -> None:
    """Of 100 prompts, 5 fail (at once or slowly) and 2 hang; all others take exactly 1 s."""
    statuses = {3: 500, 20: 500, 41: 503, 77: 429, 99: 504}
    misbehave = {f"prompt {i}": status for i, status in statuses.items()}
    api = FakeApi(misbehave=misbehave | {"prompt 10": 10_000.0, "prompt 60": 10_000.0})
    results = run_session(tmp_path, api, timeout=30.0).results
    (figures,) = analyse(results)
    base = figures.base
    assert (base.sent, base.ok, base.failed, base.timeouts) == (100, 93, 5, 2)
    failures = {"http_500": 2, "http_503": 1, "http_429": 1, "http_504": 1, "timeout": 2}
    assert base.failures == failures
    assert base.latency is not None
    assert (base.latency.mean, base.latency.p99) == pytest.approx((1.0, 1.0), abs=1e-3)

    (row,) = failures_table([figures], "said").cells
    assert row[2:7] == [100, 5, 5.0, 2, 2.0]
    assert "| 93/100 |" in run_tables(results, [figures], 10.0)[0].markdown()
    # The time the two hung is lost to throughput all the same: 93 in 93 s and twice 30 s.
    assert base.throughput == pytest.approx(93 / 153, rel=1e-3)

    records = {record.prompt: record for record in results.requests}
    assert (records[41].outcome, records[41].http_status) == ("failed", 503)
    assert records[41].message is not None
    assert '"no"' in records[41].message
    assert (records[60].outcome, records[60].message) == ("timeout", "no answer within 30 s")
    assert records[60].picture is None


@pytest.mark.parametrize("response_format", ["b64_json", "url"])
def test_what_is_recorded_of_a_request(response_format: str, tmp_path: Path) -> None:
    api = FakeApi("inf2")
    ran = run_session(tmp_path, api, prompts(1), response_format=response_format)
    (record,) = ran.results.requests
    assert record.key == Key("inf2", 0, "closed-1", 0)
    assert record.seed == 100
    assert record.variant == served("inf2")
    assert record.stages_ms["denoise"] == 700.0
    assert record.request_id == "r-1"
    assert record.picture is not None
    assert (tmp_path / "pictures" / record.picture).read_bytes().startswith(b"\x89PNG")


def test_stages_add_up_to_the_latency(tmp_path: Path) -> None:
    ran = run_session(tmp_path, FakeApi(), prompts(3))
    (figures,) = analyse(ran.results)
    container = {"text_encoder": 20, "denoise": 700, "vae_decode": 80, "encode": 10}
    around = {"endpoint overhead": 90, "storage": 0, "front door": 50, "gateway and network": 50}
    assert figures.stages_ms == pytest.approx(container | around, abs=1e-2)


def test_every_variant_gets_the_same_request(tmp_path: Path) -> None:
    api = FakeApi(*THREE)
    run_session(tmp_path, api, prompts(1))
    assert [body.pop("model") for body in api.bodies] == ["g5", "djl", "inf2"]
    assert api.bodies[0] == api.bodies[1] == api.bodies[2]
    assert api.bodies[0]["num_inference_steps"] == 25


def test_modes_are_asked_for_side_by_side(tmp_path: Path) -> None:
    api = FakeApi("g5", "djl")
    info = run_info(more_steps={"fast": 12})
    ran = run_session(tmp_path, api, prompts(2), info=info, quality=("standard", "fast"))
    asked = [(b["model"], b["quality"], b["num_inference_steps"]) for b in api.bodies]
    assert asked[::2] == asked[1::2]
    assert asked[::2] == [
        (model, *mode) for model in ("g5", "djl") for mode in (("standard", 25), ("fast", 12))
    ]
    recorded = {record.model: record for record in ran.results.measured}
    assert list(recorded) == ["g5", "g5 fast", "djl", "djl fast"]
    assert recorded["djl fast"].variant.name == "djl"
    assert recorded["djl fast"].quality == "fast"
    # Nothing is left to be asked for, by mode and not by variant alone.
    run_session(tmp_path, api, prompts(2), info=info, quality=("standard", "fast"))
    assert len(api.bodies) == 8


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    api = FakeApi()
    assert len(run_session(tmp_path, api, stop_after=40).results.requests) == 40
    results = run_session(tmp_path, api).results
    assert [record.prompt for record in results.requests] == list(range(100))
    assert api.asked == [prompt.text for prompt in prompts(100).prompts]
    # A third time there is nothing to do.
    run_session(tmp_path, api, warm_up=2)
    assert len(api.asked) == 100
    # The pause between the sessions isn't part of the time that throughput is of.
    (figures,) = analyse(results)
    assert figures.base.throughput == pytest.approx(1.0, rel=1e-3)


def test_a_line_cut_short_is_dropped_and_asked_again(tmp_path: Path) -> None:
    path = run_session(tmp_path, FakeApi(), prompts(4)).path
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_results(path).requests) == 3
    api = FakeApi()
    run_session(tmp_path, api, prompts(4))
    assert api.asked == ["prompt 3"]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["run", *["request"] * 4]


def test_a_message_may_hold_any_line_break(tmp_path: Path) -> None:
    ran = run_session(tmp_path, FakeApi(), prompts(1))
    record = replace(ran.results.requests[0], prompt=1, message="a\u2028b\x85c\r\nd")
    with ResultsFile(ran.path, run_info()) as file:
        file.add(record)
    assert ran.results.requests[1] == record


def test_other_settings_do_not_go_into_the_same_file(tmp_path: Path) -> None:
    path = run_session(tmp_path, FakeApi(), prompts(1)).path
    with pytest.raises(BenchmarkError, match=r"steps was 25, is now 50; size was '512x512'"):
        ResultsFile(path, run_info(steps=50, size="768x768"))


def test_another_artifact_does_not_go_into_the_same_file(tmp_path: Path) -> None:
    api = FakeApi()
    run_session(tmp_path, api, prompts(2), stop_after=1)
    api.variants = [served("g5", price_usd_per_hour=2.0)]
    run_session(tmp_path, api, prompts(2))
    api.variants = [served("g5", artifact_key="rebuilt")]
    with pytest.raises(BenchmarkError, match=r"artifact_key '9f2c', now 'rebuilt' is served"):
        run_session(tmp_path, api, prompts(2))


def test_a_variant_that_never_answers_ends_the_run_at_its_warm_up(tmp_path: Path) -> None:
    api = FakeApi(misbehave={"prompt 0": 503})
    with pytest.raises(BenchmarkError, match="g5 answers no warm-up request: http_503"):
        run_session(tmp_path, api, warm_up=2)
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no results at"),
        ("", "holds no run"),
        ('{"kind": "request", "variant": {}}\n', "of this version: .*region is missing"),
    ],
)
def test_no_results_is_said_plainly(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BenchmarkError, match=said):
        read_results(path)


def listed_price(api: FakeApi, key: str = "the-key", prices: Prices = NO_PRICES) -> float | None:
    async def go() -> float | None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api)) as http:
            (variant,) = (await Caller(http, Api(URL, key), RunOptions()).variants(prices)).values()
            return variant.price_usd_per_hour

    return run_jumping(go())


def test_a_wrong_key_is_said_plainly() -> None:
    with pytest.raises(BenchmarkError, match="Is the key right"):
        listed_price(FakeApi(), key="another")


def test_the_registered_price_comes_before_the_price_file() -> None:
    prices = Prices("2026-11-22", {"us-east-1": {"ml.g5.xlarge": Price(9.0, "2026-11-22", "file")}})
    api = FakeApi()
    assert listed_price(api, prices=prices) == 1.4084
    api.variants = [served("g5", **NO_PRICE)]
    assert listed_price(api, prices=prices) == 9.0
    assert listed_price(api) is None
