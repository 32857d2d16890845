"""`benchmark run` as it is called, over a real socket: where it sends to, which settings it takes,
what it refuses, and that it goes on after `kill -9`."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.prompts import load_prompts
from benchmark.run.records import WARM_UP, read_results
from tests.fakes.benchmark import FakeApi, png, refused, served, serving

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's credentials nor its metadata service are to be asked for."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "SD_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


def test_local_json_names_the_target(tmp_path: Path) -> None:
    api = FakeApi(seconds=0)
    api.variants = [served("g5", default_steps=30), served("inf2", default_steps=20)]
    results, local = tmp_path / "results.jsonl", tmp_path / "local.json"
    with serving(api) as url:
        aws = {"aws_endpoint_url": "http://127.0.0.1:9"}
        local.write_text(json.dumps({"api_url": url, "api_key": "the-key", "models": []} | aws))
        command = ["run", "--local", str(local), "--prompt-count", "3", "--concurrency", "1,2"]
        assert main([*command, "--load-requests", "2", "--results", str(results)]) == 0
    found = read_results(results)
    assert found.info.local
    assert [(r.model, r.phase) for r in found.measured] == (
        [("g5", "closed-1")] * 3
        + [("inf2", "closed-1")] * 3
        + [("g5", "closed-2")] * 2
        + [("inf2", "closed-2")] * 2
    )
    # One step count for all, the first variant's, whatever the others' defaults are.
    assert {body["num_inference_steps"] for body in api.bodies} == {found.info.steps} == {30}
    reasons = {record.reason for record in found.cloudwatch.values()}
    assert reasons == {"no AWS credentials were given"}


def test_steps_are_said_of_the_modes_that_ran(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    with serving(FakeApi("g5", seconds=0)) as url:
        command = ["run", "--url", url, "--key", "the-key", "--prompt-count", "1"]
        assert main([*command, "--quality", "fast", "--results", str(results)]) == 0
    info, modes = read_results(results).info, served("g5").served_modes
    assert info.steps_said == f"{modes['fast'].sampling.steps} steps"


def test_what_is_missing_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "give --url and --key" in refused(capsys, "run", "--url", "http://127.0.0.1:9/v1")
    missing = str(tmp_path / "local.json")
    assert "is the local cloud up" in refused(capsys, "run", "--local", missing)
    assert "no API at" in refused(capsys, "run", "--url", "http://127.0.0.1:9/v1", "--key", "k")


def test_unknown_variants_and_sizes_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    api = FakeApi()
    api.variants = [served("g5"), served("inf2", sizes=["64x64"])]
    with serving(api) as url:
        target = ["--url", url, "--key", "the-key", "--results", str(tmp_path / "r.jsonl")]
        said = refused(capsys, "run", *target, "--models", "g5,g6")
        assert "not registered: g6; registered: g5, inf2" in said
        assert "no common size" in refused(capsys, "run", *target)
        assert "no common size 64x64" in refused(capsys, "run", *target, "--size", "64x64")
        said = refused(capsys, "run", *target, "--quality", "standard,draft")
        assert "--quality draft: g5 has standard and fast" in said
    assert not (tmp_path / "r.jsonl").exists()


HELD = 40
"""The index of the prompt whose answer the server keeps back until the client is dead."""


def test_killed_at_prompt_40_it_goes_on_to_100_without_repeating_one(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    held = load_prompts("real").prompts[HELD].text
    holding, release = threading.Event(), threading.Event()

    def draw(prompt: str) -> bytes:
        if prompt == held and not holding.is_set():
            holding.set()
            release.wait()
        return png()

    def start(url: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmark", "run", "--url", url, "--key", "the-key"]
        return subprocess.Popen(
            [*command, "--models", "g5", "--warm-up", "1", "--results", str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    api = FakeApi(seconds=0, draw=draw)
    with serving(api) as url:
        process = start(url)
        try:
            while not holding.wait(timeout=0.05):
                assert process.poll() is None, process.communicate()[0]
            process.kill()
            process.communicate()
        finally:
            release.set()
        before = read_results(path).measured
        assert [record.prompt for record in before] == list(range(HELD))
        texts = api.asked

        resumed = start(url)
        output = resumed.communicate()[0]
        assert resumed.returncode == 0, output

    results = read_results(path)
    assert [record.prompt for record in results.measured] == list(range(100))
    assert results.measured[:HELD] == before
    assert [record.outcome for record in results.measured] == ["ok"] * 100
    # Each session warmed up with the first prompt; the resumed one then began with the one that
    # was in flight, and asked for no other a second time.
    assert [r.phase for r in results.requests].count(WARM_UP) == 2
    again = api.asked[len(texts) :]
    assert again[:2] == [texts[0], texts[-1]]
    assert not set(again[2:]) & set(texts)
