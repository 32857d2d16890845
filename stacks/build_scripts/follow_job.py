"""Waits for a training job, its log running along in ours."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from stacks.build_scripts.training_job import (
    LOG_GROUP,
    CompileFailed,
    TrainingJob,
    capacity_missing,
    out_of_memory,
)

# Without spot, SageMaker goes on trying for longer than a deploy should hang.
START_TIMEOUT_S = 900
# Within which a stopped job has ended: SageMaker gives its container 120 s, and its output time.
STOP_TIMEOUT_S = 600
# The log's last lines can come later than the job's last state.
LOG_LAG_S = 5

ENDED = ("Completed", "Failed", "Stopped")
# A container's status where the kernel killed what ran in it, and what SageMaker says of that.
KILLED = re.compile(r"exit code:? (137|-9)\b|instance type with more memory")
_LIMIT = "sd.kinds.neuron.compile.timeout_min"
_TOO_LONG = {
    "MaxRuntimeExceeded": f"it ran longer than {_LIMIT} allows",
    "MaxWaitTimeExceeded": f"spot capacity did not suffice within {_LIMIT}",
}


@dataclass
class JobFollower:
    """`say` gets each line; `sleep` and `clock` as in `time`."""

    sagemaker: Any
    logs: Any
    poll_s: float
    say: Callable[[str], None] = print
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _positions: dict[str, str] = field(default_factory=dict)
    """The next token by log stream."""

    def follow(self, job: TrainingJob) -> str:
        """Returns, when the job is completed, the S3 URI of its output, ending in "/".

        Raises CompileFailed with the job's own reason, at once where it ends, and where it doesn't
        start within START_TIMEOUT_S: then the job is stopped first.
        """
        began = self.clock()
        shown = 0
        while True:
            state = self.sagemaker.describe_training_job(TrainingJobName=job.name)
            transitions = state.get("SecondaryStatusTransitions", [])
            # The last one's message changes while it lasts, so it is shown when the next begins.
            for passed in transitions[shown:-1]:
                self._say_transition(passed)
            shown = max(shown, len(transitions) - 1)
            self._show_log(job.name)
            status = state["TrainingJobStatus"]
            if status in ENDED:
                for passed in transitions[shown:]:
                    if passed["Status"] != "Failed":  # that one's message is the reason once more
                        self._say_transition(passed)
                self.sleep(min(LOG_LAG_S, self.poll_s))
                self._show_log(job.name)
                return _output(job, state)
            waited = self.clock() - began
            if not job.told.spot and "TrainingStartTime" not in state and waited > START_TIMEOUT_S:
                self.stop(job.name)
                message = transitions[-1].get("StatusMessage", "") if transitions else ""
                raise capacity_missing(job, f"no start within {START_TIMEOUT_S} s. {message}")
            self.sleep(self.poll_s)

    def stop(self, name: str) -> None:
        self.say(f"stopping the training job {name}")
        try:
            self.sagemaker.stop_training_job(TrainingJobName=name)
        except ClientError:
            # Refused where it is ending by itself.
            if self._status(name) == "InProgress":
                raise

    def see_out(self, name: str) -> None:
        """Stops a job and waits for its end: two at a time would write each other's checkpoints,
        and the account may have one. CompileFailed where it doesn't end."""
        began = self.clock()
        if self._status(name) == "InProgress":
            self.stop(name)
        while self._status(name) not in ENDED:
            if self.clock() - began > STOP_TIMEOUT_S:
                raise CompileFailed(
                    f"the training job {name} of an earlier deploy, which compiles something else, "
                    f"has not stopped within {STOP_TIMEOUT_S} s: deploy again when it has"
                )
            self.sleep(self.poll_s)

    def _status(self, name: str) -> str:
        described = self.sagemaker.describe_training_job(TrainingJobName=name)
        return str(described["TrainingJobStatus"])

    def _say_transition(self, transition: dict[str, Any]) -> None:
        self.say(f"[{transition['Status']}] {transition.get('StatusMessage', '')}")

    def _show_log(self, name: str) -> None:
        for stream in self._streams(name):
            while True:
                token = self._positions.get(stream)
                page = self.logs.get_log_events(
                    logGroupName=LOG_GROUP,
                    logStreamName=stream,
                    startFromHead=True,
                    **({"nextToken": token} if token else {}),
                )
                for event in page["events"]:
                    self.say(event["message"].rstrip("\n"))
                self._positions[stream] = page["nextForwardToken"]
                if page["nextForwardToken"] == token:  # how the API says that this is the end
                    break

    def _streams(self, name: str) -> Iterator[str]:
        """None before the container runs; the group itself comes with an account's first job."""
        try:
            pages = self.logs.get_paginator("describe_log_streams").paginate(
                logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/"
            )
            for page in pages:
                yield from (stream["logStreamName"] for stream in page["logStreams"])
        except self.logs.exceptions.ResourceNotFoundException:
            return


def _output(job: TrainingJob, state: dict[str, Any]) -> str:
    if state["TrainingJobStatus"] == "Completed":
        uri = str(state["ModelArtifacts"]["S3ModelArtifacts"])
        return uri if uri.endswith("/") else f"{uri}/"
    if state["TrainingJobStatus"] == "Stopped":
        said = _TOO_LONG.get(state.get("SecondaryStatus", ""), "by hand")
        raise CompileFailed(f"the training job {job.name} was stopped: {said}")
    reason = state.get("FailureReason", "it gives no reason")
    if "CapacityError" in reason:
        raise capacity_missing(job, reason)
    if KILLED.search(reason):
        raise out_of_memory(job, reason)
    raise CompileFailed(f"the training job {job.name} failed: {reason}")
