"""CodeBuild, SageMaker, S3, ECR and CloudFormation's side, as the build step's Lambda sees them."""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from botocore.exceptions import ClientError

from build_trigger.builds import Builds
from build_trigger.custom_resource import handle_request
from build_trigger.deploys import Deploys
from build_trigger.jobs import Jobs
from build_trigger.logs import Logs
from build_trigger.outputs import Outputs
from build_trigger.services import Services
from build_trigger.state_change import handle_state_change
from tests.fakes.s3 import FakeS3

KEY, OTHER_KEY = "a" * 64, "b" * 64
URL, OLD_URL, RESPONSE_URL = "https://signal/new", "https://signal/old", "https://response"
MANIFEST = f"weights/{KEY}/manifest.json"
IN_S3 = {"Bucket": "models", "Manifest": MANIFEST}
IN_ECR = {"Repository": "images", "Tag": KEY, **IN_S3}
STACK_ID = "arn:aws:cloudformation:eu-west-1:111122223333:stack/SdInf2CompileStack/0e9a"
QUOTA = "Concurrently running builds for Linux/Small environment"
JOB_PREFIX = f"sd-compile-{KEY[:12]}-"
WITH_JOBS = {"Jobs": {"NamePrefix": JOB_PREFIX}}


def denied(code: str = "AccessDeniedException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "not allowed"}}, "StartBuild")


def over_quota(limit: int = 1) -> ClientError:
    said = f"Cannot have more than {limit} builds in queue for the account"
    error = {"Code": "AccountLimitExceededException", "Message": said}
    return ClientError({"Error": error}, "StartBuild")


class FakeCodeBuild:
    """Keeps builds as the service does: overrides appear in a build's environment. A build that is
    stopped ends at once, with `stops_slowly` the next but one time it is looked at, or never."""

    def __init__(self) -> None:
        self.builds: dict[str, dict[str, Any]] = {}
        self.stopped: list[str] = []
        self.tokens: list[str] = []
        self.refusals: list[ClientError] = []
        self.stop_refused = False
        self.stops_slowly = self.never_stops = False
        self.on_start: Callable[[], None] = lambda: None

    def start_build(self, **request: Any) -> dict[str, Any]:
        if self.refusals:
            raise self.refusals.pop()
        self.tokens.append(request["idempotencyToken"])
        build_id = f"{request['projectName']}:uuid-{len(self.builds) + 1}"
        self.builds[build_id] = {
            "id": build_id,
            "buildStatus": "IN_PROGRESS",
            "environment": {
                "environmentVariables": [
                    {"name": "SD_PROJECT_OWN", "value": "1", "type": "PLAINTEXT"},
                    *request["environmentVariablesOverride"],
                ]
            },
            "logs": {
                "groupName": "builds",
                "streamName": "thing/1",
                "deepLink": f"https://console/{len(self.builds) + 1}",
            },
            "phases": [{"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED"}],
        }
        self.on_start()
        return {"build": {"id": build_id}}

    def list_builds_for_project(self, projectName: str, sortOrder: str) -> dict[str, Any]:
        assert sortOrder == "DESCENDING"
        return {"ids": [b for b in reversed(self.builds) if b.startswith(f"{projectName}:")]}

    def batch_get_builds(self, ids: list[str]) -> dict[str, Any]:
        assert 0 < len(ids) <= 100
        answer = [dict(self.builds[i]) for i in ids if i in self.builds]
        for build in self.builds.values():
            build["buildStatus"] = build.pop("next", build["buildStatus"])
        return {"builds": answer}

    def stop_build(self, id: str) -> None:
        if self.stop_refused:
            raise denied()
        self.stopped.append(id)
        if self.never_stops:
            return
        self.builds[id]["next" if self.stops_slowly else "buildStatus"] = "STOPPED"

    def end(self, build_id: str, status: str, *phases: dict[str, Any]) -> dict[str, Any]:
        """The state change's event."""
        self.builds[build_id]["buildStatus"] = status
        self.builds[build_id]["phases"] += phases
        arn = f"arn:aws:codebuild:eu-west-1:111122223333:build/{build_id}"
        return {
            "source": "aws.codebuild",
            "detail-type": "CodeBuild Build State Change",
            "detail": {
                "build-id": arn,
                "build-status": status,
                "project-name": build_id.split(":")[0],
            },
        }


class FakeSageMaker:
    """`late` jobs appear at the second listing."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.late: list[str] = []
        self.listings = 0
        self.stopped: list[str] = []
        self.refusal: ClientError | None = None

    def get_paginator(self, operation: str) -> "FakeSageMaker":
        assert operation == "list_training_jobs"
        return self

    def paginate(self, **request: str) -> Iterator[dict[str, Any]]:
        """A page a job. By status it would look at one page alone."""
        (wanted,) = request.values()
        assert "NameContains" in request
        if self.refusal:
            raise self.refusal
        self.listings += 1
        if self.listings > 1:
            self.jobs |= dict.fromkeys(self.late, "InProgress")
        for name, status in list(self.jobs.items()):
            if wanted in name:
                yield {
                    "TrainingJobSummaries": [{"TrainingJobName": name, "TrainingJobStatus": status}]
                }

    def stop_training_job(self, TrainingJobName: str) -> None:
        if self.jobs[TrainingJobName] != "InProgress":
            raise denied("ValidationException")
        self.stopped.append(TrainingJobName)
        self.jobs[TrainingJobName] = "Stopping"

    def describe_training_job(self, TrainingJobName: str) -> dict[str, str]:
        return {"TrainingJobStatus": self.jobs[TrainingJobName]}


class FakeCloudFormation:
    """Answers `statuses` one after the other; the last one stays. None is for a resource that there
    isn't."""

    def __init__(self) -> None:
        self.statuses: list[str | None] = ["CREATE_IN_PROGRESS"]

    def describe_stack_resource(self, StackName: str, LogicalResourceId: str) -> dict[str, Any]:
        assert (StackName, LogicalResourceId) == (STACK_ID, "Run")
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status is None:
            raise denied("ValidationError")
        return {"StackResourceDetail": {"ResourceStatus": status}}


class FakeLambda:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> None:
        assert (FunctionName, InvocationType) == ("trigger", "Event")
        self.events.append(json.loads(Payload))


class FakeLogs:
    """`pages` are what the build's log holds, one request after the other; the last one stays."""

    def __init__(self) -> None:
        self.pages: list[list[str]] = [[]]
        self.refusal: ClientError | None = None

    def get_log_events(self, **request: Any) -> dict[str, Any]:
        assert (request["logGroupName"], request["logStreamName"]) == ("builds", "thing/1")
        assert request["startFromHead"] is False
        if self.refusal:
            raise self.refusal
        page = self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]
        return {"events": [{"message": f"{line}\n"} for line in page]}


class FakeEcr:
    class exceptions:
        class ImageNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.tags: list[str] = []

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> None:
        assert repositoryName == "images"
        if imageIds[0]["imageTag"] not in self.tags:
            raise self.exceptions.ImageNotFoundException


class Cloud:
    """The services, and what was put to which URL. Time passes by pausing alone."""

    def __init__(self) -> None:
        self.codebuild, self.s3, self.ecr = FakeCodeBuild(), FakeS3(), FakeEcr()
        self.sagemaker, self.cloudformation = FakeSageMaker(), FakeCloudFormation()
        self.functions, self.logs = FakeLambda(), FakeLogs()
        self.sent: list[tuple[str, Mapping[str, Any]]] = []
        self.pauses: list[float] = []
        self.on_pause: Callable[[], None] = lambda: None
        self.lost_urls: set[str] = set()
        self.numbers = count()

    def has(self, *keys: str) -> None:
        """Objects that S3 has."""
        self.s3.objects |= dict.fromkeys(keys, b"")

    def put(self, url: str, document: Mapping[str, Any]) -> None:
        if url in self.lost_urls:
            raise OSError("HTTP 403")
        self.sent.append((url, document))

    def services(self) -> Services:
        return Services(
            Builds(self.codebuild),
            Outputs(self.s3, self.ecr),
            Jobs(self.sagemaker),
            Deploys(self.cloudformation, self.functions, "trigger"),
            Logs(self.logs),
            self.put,
            lambda: sum(self.pauses),
            self.pause,
        )

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.on_pause()

    def event(self, kind: str, *, key: str = KEY, url: str = URL, **more: Any) -> dict[str, Any]:
        """CloudFormation's request."""
        return {
            "RequestType": kind,
            "RequestId": f"request-{next(self.numbers)}",
            "StackId": STACK_ID,
            "LogicalResourceId": "Run",
            "ResponseURL": RESPONSE_URL,
            "ResourceProperties": {
                "ServiceToken": "arn",
                "Project": "project",
                "Key": key,
                "WaitUrl": url,
                "Output": more.pop("output", IN_S3),
                "Quota": QUOTA,
                **more.pop("jobs", {}),
            },
            **more,
        }

    def request(self, kind: str, **more: Any) -> dict[str, Any]:
        """Sends CloudFormation's request; gives the answer."""
        return self.handle(self.event(kind, **more))

    def handle(self, event: dict[str, Any]) -> dict[str, Any]:
        handle_request(event, self.services())
        where, answer = self.sent.pop()
        assert where == RESPONSE_URL
        return dict(answer)

    def state_change(self, event: Mapping[str, Any]) -> None:
        handle_state_change(event, self.services())
