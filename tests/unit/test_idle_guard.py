"""An endpoint that nobody uses is stopped, told of, and comes back; time passes by injection."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from idle_guard.switch import NotYet
from operations.endpoints import endpoints
from stacks.settings import ROOT, Names
from tests.fakes.guarded_endpoint import (
    COMMAND,
    CONFIG,
    HOUR,
    PARAMETER,
    START,
    GuardedEndpoint,
    registered,
)

CHANGES = {
    "DeleteEndpoint",
    "CreateEndpoint",
    "PutParameter",
    "UpdateEndpointWeightsAndCapacities",
}


@pytest.fixture
def it() -> GuardedEndpoint:
    return GuardedEndpoint()


def changed(it: GuardedEndpoint) -> list[str]:
    return [call for call in it.calls if call in CHANGES]


def test_an_idle_endpoint_is_stopped_and_comes_back(it: GuardedEndpoint) -> None:
    guard = it.guard(idle_h="2")
    it.requests = [START + HOUR]
    it.time = START + 4 * HOUR
    guard.handle({"action": "check"})
    assert (it.status, changed(it)) == ("Deleting", ["DeleteEndpoint", "PutParameter"])
    stopped = {"since": "2026-11-25T12:00:00+00:00", "why": "no request for 2 h", "start": COMMAND}
    assert it.stopped == stopped
    message = f"sd-g5: Endpoint Stopped, no request for 2 h. To start it: {COMMAND}"
    told = {"endpoint": "sd-g5", **stopped, "message": message}
    assert it.told == [("Endpoint Stopped", told)]

    it.comes_up()
    guard.handle({"action": "check"})
    assert len(it.told) == 1  # told once

    guard.handle({"action": "start"})
    assert it.came_back == ("Creating", CONFIG)
    told = {"endpoint": "sd-g5", "message": "sd-g5: Endpoint Started."}
    assert it.told[1:] == [("Endpoint Started", told)]
    # All it was registered with is still there.
    assert it.documents[PARAMETER] == registered()


@pytest.mark.parametrize("hours", [0.5, 2, 168])
def test_it_is_idle_after_its_hours_and_not_before(it: GuardedEndpoint, hours: float) -> None:
    guard = it.guard(idle_h=str(hours))
    for quarter in range(int(hours * 4)):
        it.time = START + quarter * HOUR / 4
        guard.handle({"action": "check"})
        assert it.status == "InService"
    it.time = START + hours * HOUR
    guard.handle({"action": "check"})
    assert it.status == "Deleting"


def test_one_request_in_time_keeps_it(it: GuardedEndpoint) -> None:
    guard = it.guard(idle_h="2")
    it.requests = [START + each * 1.9 * HOUR for each in range(20)]
    for quarter in range(4 * 38):
        it.time = START + quarter * HOUR / 4
        it_knows = [at for at in it.requests if at <= it.time]
        it.requests, later = it_knows, [at for at in it.requests if at > it.time]
        guard.handle({"action": "check"})
        it.requests += later
    assert (it.status, changed(it)) == ("InService", [])


def test_one_that_was_just_started_or_updated_is_left_alone(it: GuardedEndpoint) -> None:
    it.time = it.modified = START + 100 * HOUR
    it.guard(idle_h="1").handle({"action": "check"})
    assert changed(it) == []


@pytest.mark.parametrize("status", ["Creating", "Updating", "RollingBack", "Failed"])
def test_one_that_changes_or_has_failed_is_left_alone(it: GuardedEndpoint, status: str) -> None:
    it.status, it.time = status, START + 100 * HOUR
    it.guard(idle_h="1").handle({"action": "check"})
    assert changed(it) == []


def test_without_idle_hours_nothing_is_stopped_and_no_metric_asked_for(it: GuardedEndpoint) -> None:
    it.time = START + 1000 * HOUR
    it.guard().handle({"action": "check"})
    assert (it.status, "GetMetricStatistics" in it.calls) == ("InService", False)


def test_a_metric_that_can_t_be_read_stops_nothing(it: GuardedEndpoint) -> None:
    it.broken, it.time = "GetMetricStatistics", START + 100 * HOUR
    with pytest.raises(ClientError, match="not allowed"):
        it.guard(idle_h="1").handle({"action": "check"})
    assert changed(it) == []


def test_one_that_scales_goes_to_the_least_it_may_have_just_now(it: GuardedEndpoint) -> None:
    guard = it.guard(idle_h="1", scales="true")
    it.scales = True
    it.instances, it.least, it.time = 4, 2, START + 2 * HOUR
    guard.handle({"action": "check"})
    assert (it.instances, changed(it)) == (2, ["UpdateEndpointWeightsAndCapacities"])
    ((what, told),) = it.told
    assert (what, told["instances"]) == ("Endpoint Scaled In", "2")
    assert told["message"] == "sd-g5: Endpoint Scaled In, no request for 1 h."

    it.comes_up()
    it.time += 2 * HOUR
    guard.handle({"action": "check"})
    assert len(it.told) == 1
    assert it.stopped is None


@pytest.mark.parametrize("broken", ["PutParameter", "CreateEndpoint"])
def test_what_ends_in_between_is_mended_by_the_next_check(it: GuardedEndpoint, broken: str) -> None:
    guard = it.guard(idle_h="1")
    if broken == "CreateEndpoint":
        guard.handle({"action": "stop"})
        it.comes_up()
    it.broken = broken
    with pytest.raises(ClientError):
        guard.handle({"action": "start" if broken == "CreateEndpoint" else "stop"})
    assert it.stopped is None
    if it.status:
        it.comes_up()
    it.broken = ""
    guard.handle({"action": "check"})
    assert it.stopped
    assert it.stopped["why"] == "it was not there"
    guard.handle({"action": "start"})
    assert it.status == "Creating"


def test_a_deploy_that_overwrites_the_mark_hides_nothing(it: GuardedEndpoint) -> None:
    it.guard().handle({"action": "stop"})
    it.comes_up()
    it.documents[PARAMETER] = registered(instance_type="ml.g5.2xlarge")
    it.guard().handle({"action": "check"})
    assert it.stopped
    assert it.documents[PARAMETER]["instance_type"] == "ml.g5.2xlarge"


def test_one_started_past_the_guard_is_not_called_stopped_for_long(it: GuardedEndpoint) -> None:
    it.guard().handle({"action": "stop"})
    it.comes_up()
    it.clients("sagemaker").create_endpoint(EndpointName="sd-g5", EndpointConfigName=CONFIG)
    it.guard().handle({"action": "check"})
    assert it.stopped  # it doesn't answer yet
    it.comes_up()
    it.guard().handle({"action": "check"})
    assert it.stopped is None


@pytest.mark.parametrize("action", ["stop", "start"])
def test_what_can_t_be_done_yet_is_an_error_which_lambda_tries_again(
    it: GuardedEndpoint, action: str
) -> None:
    it.status = {"stop": "Updating", "start": "Deleting"}[action]
    with pytest.raises(NotYet, match="sd-g5 is"):
        it.guard().handle({"action": action})
    it.comes_up()
    it.guard().handle({"action": action})
    assert it.status == {"stop": "Deleting", "start": "Creating"}[action]


def test_a_failed_one_is_made_anew(it: GuardedEndpoint) -> None:
    it.status = "Failed"
    with pytest.raises(NotYet, match="is being deleted"):
        it.guard().handle({"action": "start"})
    it.comes_up()
    it.guard().handle({"action": "start"})
    assert it.status == "Creating"


@pytest.mark.parametrize("action", ["stop", "start"])
def test_both_may_be_asked_for_twice(it: GuardedEndpoint, action: str) -> None:
    if action == "start":
        it.guard().handle({"action": "stop"})
        it.comes_up()
    it.guard().handle({"action": action})
    it.comes_up()
    before = changed(it)
    it.guard().handle({"action": action})
    assert changed(it) == before


def test_an_unknown_action_is_an_error(it: GuardedEndpoint) -> None:
    with pytest.raises(ValueError, match="must be one of check, start, stop"):
        it.guard().handle({"action": "pause"})


# --- by hand ------------------------------------------------------------------------------------


def by_hand(it: GuardedEndpoint, action: str, variant: str = "") -> int:
    def pause(seconds: float) -> None:
        it.time += seconds
        if it.status in ("Creating", "Deleting") and not it.failure:
            it.comes_up()
        elif it.failure:
            it.status = "Failed"

    return endpoints(it.clients, Names("sd"), action, variant, lambda: it.time, pause)


def test_the_command_stops_and_starts_it(
    it: GuardedEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert by_hand(it, "stop", "g5") == 0
    assert COMMAND in capsys.readouterr().out
    it.comes_up()
    assert it.stopped == {"since": "2026-11-25T08:00:00+00:00", "why": "by hand", "start": COMMAND}
    assert by_hand(it, "list") == 0
    assert "stopped since 2026-11-25T08:00:00+00:00: by hand" in capsys.readouterr().out

    assert by_hand(it, *COMMAND.split()[3:5]) == 0
    said = capsys.readouterr().out
    assert "1.41 USD an hour (1 x ml.g5.xlarge, of 2026-11-22)" in said
    assert said.endswith("It is in service.\n")
    assert it.came_back == ("InService", CONFIG)


def test_the_command_leaves_one_that_scales(
    it: GuardedEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    it.scales = True
    assert by_hand(it, "stop", "g5") == 1
    assert "SageMaker would forget how" in capsys.readouterr().out
    assert changed(it) == []


def test_the_command_says_why_one_does_not_come_up(
    it: GuardedEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    it.status, it.failure = None, "no capacity"
    assert by_hand(it, "start", "g5") == 1
    assert "It has not come up: no capacity" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"serve": ["bulk"]}, "g5: no such endpoint; there are: none"),
        ({"endpoint_config": None}, "names no endpoint_config: deploy its stack anew"),
    ],
)
def test_the_command_refuses_what_it_can_t_do(
    it: GuardedEndpoint,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    said: str,
) -> None:
    it.status = None
    it.documents[PARAMETER] |= changes
    assert by_hand(it, "start", "g5") == 1
    assert said in capsys.readouterr().out


def test_the_clock_is_the_injected_one(it: GuardedEndpoint) -> None:
    it.time = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    it.guard().handle({"action": "stop"})
    assert it.stopped
    assert it.stopped["since"] == "2030-01-01T00:00:00+00:00"


def test_the_command_that_starts_it_finds_the_environment_s_node(tmp_path: Path) -> None:
    """Python and make are all that a machine needs, and the command is run without make."""
    found = subprocess.run(
        [sys.executable, "-c", "import shutil, operations; print(shutil.which('node'))"],
        env={"PATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(Path(sys.executable).with_name("node"))
