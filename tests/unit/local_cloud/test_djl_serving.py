"""model.py under the host, as the local cloud's endpoint runs it: a process of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.fakes.djl_hosting import ROOT, Host, echo_model, hosted, image_environment
from tests.fakes.serving import ENV, make_artifact

ASSETS = ROOT / "model_assets"
BATCH = 8


def serving(weights: Path, **env: str) -> AbstractContextManager[Host]:
    return hosted(
        ASSETS / "djl",
        **{
            **ENV,
            "SD_VARIANT": "djl",
            "SD_SIZES": "64x64",
            "SD_DTYPE": "float32",
            "SM_MODEL_DIR": str(weights),
            "PYTHONPATH": str(ASSETS),
            "OPTION_ACCELERATION": "pytorch",
            "SERVING_RETRY_THRESHOLD": image_environment()["SERVING_RETRY_THRESHOLD"],
            **env,
        },
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_artifact(tmp_path_factory.mktemp("artifact") / "weights")


@pytest.fixture(scope="module")
def host(weights: Path) -> Iterator[Host]:
    # A batch goes when it is full: no test waits for the delay, or depends on it.
    with serving(
        weights, SERVING_BATCH_SIZE=str(BATCH), SERVING_MAX_BATCH_DELAY="600000"
    ) as started:
        yield started.until_it_serves()


def test_eight_requests_are_one_batch(host: Host) -> None:
    before = len(host.events("batch"))
    wanted = {"prompt": "a red circle", "guidance_scale": 4.0, "num_inference_steps": 1}
    for answer in host.send_together([{**wanted, "seed": seed} for seed in range(BATCH)]):
        assert (answer["engine"]["batch"], len(answer["images"])) == (BATCH, 1)
        assert answer["engine"]["acceleration"] == "pytorch"
    host.until(lambda: host.events("batch")[before:])
    (line,) = host.events("batch")[before:]
    assert (line["requests"], line["errors"]) == (BATCH, 0)
    assert [group["requests"] for group in line["groups"]] == [BATCH]


def test_every_line_is_whole(host: Host) -> None:
    """Under mpirun, and though Python is told to buffer nothing."""
    before = len(host.events("invocation"))
    host.send_together([{"prompt": "a red circle", "num_images": 99}] * BATCH)
    host.until(lambda: len(host.events("invocation")) == before + BATCH)
    assert [line for line in host.lines if line.count("[1,0]<stdout>:") > 1] == []


def test_a_form_is_refused_in_words(host: Host) -> None:
    form = {"content_type": "application/x-www-form-urlencoded"}
    for answer in host.send_together([{"prompt": "a red circle"}] * BATCH, **form):
        assert answer["error"]["type"] == "invalid_request"


def test_the_operations_page_s_query_reads_a_line(host: Host) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    (pattern,) = re.findall(r"^parse @message /(.*)/$", page, re.MULTILINE)
    (tag,) = re.findall(r'replace\(line, "(.*?)", ""\)', page)
    matches = [re.search(pattern.replace("(?<", "(?P<"), line) for line in host.lines]
    entries = [json.loads(match["line"].replace(tag, "")) for match in matches if match]
    assert {"ready", "invocation", "batch"} <= {entry["event"] for entry in entries}


def test_a_process_that_hangs_fails_ping_in_this_image(tmp_path: Path) -> None:
    """It isn't replaced otherwise."""
    image = {**image_environment(), "PYTHONPATH": "", "PREDICT_TIMEOUT": "1"}
    with hosted(echo_model(tmp_path / "djl"), **image) as host:
        assert host.until_it_serves().run("time.sleep(600)").status_code == 503
        ping = host.ping()
        assert ping
        assert ping.status_code == 500


def test_a_process_killed_between_requests_ends_the_container(weights: Path) -> None:
    """DJL itself would answer 400 for good, and /ping 200."""
    with serving(weights) as host:
        host.until_it_serves().kill_python()
        host.until(lambda: not host.running)


def test_another_artifact_and_wrong_options_are_fatal(weights: Path) -> None:
    with serving(weights, SD_ARTIFACT_KEY="other") as host:
        assert host.last_words().endswith(
            f"key is {ENV['SD_ARTIFACT_KEY']!r}, this container wants 'other'"
        )
    with serving(weights, OPTION_ACCELERATION="fast") as host:
        words = host.last_words()
        assert words.startswith("FATAL: option.acceleration='fast': one of deepspeed,")
