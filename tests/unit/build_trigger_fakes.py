"""CodeBuild, S3, ECR and CloudFormation's side, as the build step's Lambda sees them."""

from collections.abc import Mapping
from itertools import count
from typing import Any

from botocore.exceptions import ClientError

from build_trigger.builds import Builds
from build_trigger.custom_resource import handle_request
from build_trigger.outputs import Outputs
from build_trigger.state_change import handle_state_change

KEY, OTHER_KEY = "a" * 64, "b" * 64
URL, OLD_URL, RESPONSE_URL = "https://signal/new", "https://signal/old", "https://response"
MANIFEST = f"weights/{KEY}/manifest.json"
IN_S3 = {"Bucket": "models", "Manifest": MANIFEST}
IN_ECR = {"Repository": "images", "Tag": KEY}


def denied(code: str = "AccessDeniedException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "not allowed"}}, "StartBuild")


class FakeCodeBuild:
    """Keeps builds as the service does: overrides appear in a build's environment."""

    def __init__(self) -> None:
        self.builds: dict[str, dict[str, Any]] = {}
        self.stopped: list[str] = []
        self.tokens: list[str] = []
        self.refusals: list[ClientError] = []
        self.stop_refused = False

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
            "logs": {"deepLink": f"https://console/{len(self.builds) + 1}"},
            "phases": [{"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED"}],
        }
        return {"build": {"id": build_id}}

    def list_builds_for_project(self, projectName: str, sortOrder: str) -> dict[str, Any]:
        assert sortOrder == "DESCENDING"
        return {"ids": [b for b in reversed(self.builds) if b.startswith(f"{projectName}:")]}

    def batch_get_builds(self, ids: list[str]) -> dict[str, Any]:
        assert 0 < len(ids) <= 100
        return {"builds": [self.builds[i] for i in ids if i in self.builds]}

    def stop_build(self, id: str) -> None:
        if self.stop_refused:
            raise denied()
        self.stopped.append(id)
        self.builds[id]["buildStatus"] = "STOPPED"

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


class FakeS3:
    def __init__(self) -> None:
        self.keys: list[str] = []

    def list_objects_v2(self, Bucket: str, Prefix: str, MaxKeys: int) -> dict[str, Any]:
        assert Bucket == "models"
        found = sorted(key for key in self.keys if key.startswith(Prefix))[:MaxKeys]
        return {"Contents": [{"Key": key} for key in found]} if found else {}


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
    """The services, and what was put to which URL."""

    def __init__(self) -> None:
        self.codebuild, self.s3, self.ecr = FakeCodeBuild(), FakeS3(), FakeEcr()
        self.sent: list[tuple[str, Mapping[str, Any]]] = []
        self.pauses: list[float] = []
        self.lost_urls: set[str] = set()
        self.numbers = count()

    def put(self, url: str, document: Mapping[str, Any]) -> None:
        if url in self.lost_urls:
            raise OSError("HTTP 403")
        self.sent.append((url, document))

    def request(self, kind: str, *, key: str = KEY, url: str = URL, **more: Any) -> dict[str, Any]:
        """Sends CloudFormation's request; gives the answer."""
        event = {
            "RequestType": kind,
            "RequestId": f"request-{next(self.numbers)}",
            "StackId": "stack",
            "LogicalResourceId": "Run",
            "ResponseURL": RESPONSE_URL,
            "ResourceProperties": {
                "ServiceToken": "arn",
                "Project": "project",
                "Key": key,
                "WaitUrl": url,
                "Output": more.pop("output", IN_S3),
            },
            **more,
        }
        handle_request(
            event,
            Builds(self.codebuild),
            Outputs(self.s3, self.ecr),
            self.put,
            self.pauses.append,
        )
        where, answer = self.sent.pop()
        assert where == RESPONSE_URL
        return dict(answer)

    def state_change(self, event: Mapping[str, Any]) -> None:
        handle_state_change(event, Builds(self.codebuild), Outputs(self.s3, self.ecr), self.put)
