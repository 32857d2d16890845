"""`kill -9` in the middle of a run, over a real socket and in a real process."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from benchmark.prompts import load_prompts
from benchmark.run.records import WARM_UP, read_results
from tests.benchmark_fakes import FakeApi, png
from tests.benchmark_server import serving

ROOT = Path(__file__).parents[2]
HELD = 40
"""The index of the prompt whose answer the server keeps back until the client is dead."""


def start(url: str, results: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmark", "run", "--url", url, "--key", "the-key"]
    # Neither this machine's credentials nor its metadata service are to be asked for.
    plain = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return subprocess.Popen(
        [*command, "--models", "g5", "--warm-up", "1", "--results", str(results)],
        cwd=ROOT,
        env=plain | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(results.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_killed_at_prompt_40_it_goes_on_to_100_without_repeating_one(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    held = load_prompts("real").prompts[HELD].text
    holding, release = threading.Event(), threading.Event()

    def draw(prompt: str) -> bytes:
        if prompt == held and not holding.is_set():
            holding.set()
            release.wait()
        return png()

    api = FakeApi(seconds=0, draw=draw)
    with serving(api) as url:
        process = start(url, path)
        try:
            while not holding.wait(timeout=0.05):
                assert process.poll() is None, process.communicate()[0].decode()
            process.kill()
            process.communicate()
        finally:
            release.set()
        before = read_results(path).measured
        assert [record.prompt for record in before] == list(range(HELD))
        texts = [body["prompt"] for body in api.bodies]

        resumed = start(url, path)
        output = resumed.communicate()[0].decode()
        assert resumed.returncode == 0, output

    results = read_results(path)
    assert [record.prompt for record in results.measured] == list(range(100))
    assert results.measured[:HELD] == before
    assert [record.outcome for record in results.measured] == ["ok"] * 100
    # Each session warmed up with the first prompt; the resumed one then began with the one that
    # was in flight, and asked for no other a second time.
    assert [r.phase for r in results.requests].count(WARM_UP) == 2
    again = [body["prompt"] for body in api.bodies[len(texts) :]]
    assert again[:2] == [texts[0], texts[-1]]
    assert not set(again[2:]) & set(texts)
    (reason,) = {record.reason for record in results.cloudwatch.values()}
    assert reason == "no AWS credentials were given"
