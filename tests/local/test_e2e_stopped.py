"""An endpoint that its guard stops, under the guard's own role, and its command brings back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from local_cloud.settings import REPOSITORY
from tests.local.support import deploy
from tests.local.up_cloud import UpCloud

pytestmark = pytest.mark.local
QUICK: dict[str, Any] = {"prompt": "a red circle", "num_inference_steps": 3}


def test_a_stopped_endpoint_says_how_to_start_it_and_starts(up: UpCloud) -> None:
    printed = deploy(up, "SdG5Stack", "sd.variants.g5.idle_stop_h=168")
    assert "CostPerHour = 1.41 USD (1 x ml.g5.xlarge" in printed
    functions = up.client("lambda")
    (guard,) = (
        each["FunctionName"]
        for each in functions.list_functions()["Functions"]
        if each["Handler"] == "idle_guard.handler.handler"
    )

    def ask(action: str) -> None:
        answer = functions.invoke(FunctionName=guard, Payload=json.dumps({"action": action}))
        assert "FunctionError" not in answer, answer["Payload"].read()

    ask("check")
    assert up.pictures(**QUICK)
    ask("stop")
    response = up.generate(**QUICK)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (503, "model_stopped")
    stopped = up.models()["g5"].stopped
    assert stopped
    assert stopped.why == "by its schedule"

    command = re.search(r"-m operations start g5 .*", error["message"])
    assert command
    started = subprocess.run(
        [sys.executable, *command[0].split()],
        cwd=REPOSITORY,
        env=up.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stdout + started.stderr
    assert started.stdout.endswith("It is in service.\n")
    assert up.models()["g5"].stopped is None
    assert up.pictures(**QUICK)
    # As the other tests know it.
    deploy(up, "SdG5Stack")
