"""AWS::ECS::ExpressGatewayService on the local cloud: what ECS refuses, and how a task comes and
goes."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from local_cloud.child import ChildCloud
from local_cloud.docker.store import ImageRecord
from tests.fakes.local_account import allow, arn, log_lines, make_role, role_arn, wait_for
from tests.fakes.training_job import push_image
from tests.unit.local_cloud.test_cloudformation import Stack

DIGEST = "sha256:" + "7" * 64
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1"
# Says what it is told, and whom it is.
PROGRAM = """
import http.server, json, os, sys
if os.environ.get("BROKEN"):
    sys.exit("no configuration")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {k: v for k, v in os.environ.items() if k in ("GREETING", "KEY", "URL")}
        told["role"] = bool(os.environ.get("AWS_SESSION_TOKEN"))
        body = json.dumps(told).encode()
        self.send_response(200 if self.path in ("/", "/health") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
print("listening", flush=True)
place = os.environ["HOST"], int(os.environ["PORT"])
http.server.ThreadingHTTPServer(place, Handler).serve_forever()
"""
PULL = "ecr:GetAuthorizationToken ecr:BatchGetImage ecr:BatchCheckLayerAvailability"


@pytest.fixture(scope="module")
def account(cloud: ChildCloud) -> ChildCloud:
    """With an image, a log group, a secret and roles."""
    record = ImageRecord("base:1", {"HOST": "0.0.0.0"}, ("python", "/program.py"))  # noqa: S104

    def fill(rootfs: Path) -> None:
        rootfs.mkdir(parents=True)
        (rootfs / "program.py").write_text(PROGRAM)

    push_image(cloud, "web", DIGEST, record, fill)
    cloud.client("logs").create_log_group(logGroupName="web")
    cloud.client("secretsmanager").create_secret(Name="web", SecretString="hush")
    groups = (arn("logs", "log-group:web"), arn("logs", "log-group:web:log-stream:*"))
    make_role(
        cloud,
        "web-start",
        "ecs-tasks",
        allow(PULL),
        allow("logs:CreateLogStream logs:PutLogEvents", *groups),
        allow("secretsmanager:GetSecretValue"),
    )
    make_role(cloud, "web-no-secret", "ecs-tasks", allow(PULL))
    make_role(cloud, "web-no-image", "ecs-tasks", allow("secretsmanager:GetSecretValue"))
    make_role(cloud, "web-task", "ecs-tasks", allow("s3:ListAllMyBuckets"))
    make_role(cloud, "web-around", "ecs", allow("ecs:DescribeServices"))
    return cloud


class Service(Stack):
    def __init__(self, cloud: ChildCloud, name: str, **changes: Any) -> None:
        secret = cloud.client("secretsmanager").describe_secret(SecretId="web")["ARN"]
        told = {"PORT": "8080", "GREETING": "hello"}
        told["URL"] = "https://a1b2c3.execute-api.us-east-1.amazonaws.com/v1"
        container = {
            "Image": IMAGE,
            "ContainerPort": 8080,
            "AwsLogsConfiguration": {"LogGroup": "web", "LogStreamPrefix": name},
            "Environment": [{"Name": key, "Value": value} for key, value in told.items()],
            "Secrets": [{"Name": "KEY", "ValueFrom": secret}],
        }
        properties = {
            "ExecutionRoleArn": role_arn("web-start"),
            "InfrastructureRoleArn": role_arn("web-around"),
            "TaskRoleArn": role_arn("web-task"),
            "HealthCheckPath": "/health",
            "PrimaryContainer": container,
            **changes,
        }
        resources = {"Web": {"Type": "AWS::ECS::ExpressGatewayService", "Properties": properties}}
        super().__init__(cloud, name, resources)
        self.container = self.properties("Web")["PrimaryContainer"]

    def tell(self, name: str, value: str) -> None:
        kept = [each for each in self.container["Environment"] if each["Name"] != name]
        self.container["Environment"] = [*kept, {"Name": name, "Value": value}]

    def url(self) -> str:
        return f"https://{self.outputs()['Endpoint']}"

    def answer(self) -> Any:
        trust = ssl.create_default_context(cafile=self.cloud.state / "express.pem")
        return httpx.get(self.url(), verify=trust, trust_env=False).json()

    def _template(self) -> str:
        endpoint = {"Value": {"Fn::GetAtt": ["Web", "Endpoint"]}}
        return json.dumps({"Resources": self.resources, "Outputs": {"Endpoint": endpoint}})


def test_a_task_has_its_environment_its_secrets_its_role_and_its_log(account: ChildCloud) -> None:
    service = Service(account, "web-whole")
    service.create()
    assert service.answer() == {
        "GREETING": "hello",
        "KEY": "hush",
        "URL": f"{account.settings.url}/_aws/execute-api/a1b2c3/v1",
        "role": True,
    }
    wait_for(lambda: log_lines(account, "web", "web-whole/") == ["listening"])
    address = service.url()
    service.delete()
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, verify=False, trust_env=False)


def test_an_update_puts_another_task_in_its_place_at_the_same_address(account: ChildCloud) -> None:
    service = Service(account, "web-changed")
    service.create()
    before = service.url()
    service.tell("GREETING", "good day")
    service.update()
    assert service.url() == before
    assert service.answer()["GREETING"] == "good day"
    # One that doesn't come up leaves the other where it is.
    service.tell("BROKEN", "yes")
    assert "Essential container in task exited: no configuration" in service.refused("update")
    assert service.answer()["GREETING"] == "good day"
    service.delete()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ExecutionRoleArn": role_arn("web-no-secret")}, "unable to pull secrets"),
        ({"ExecutionRoleArn": role_arn("web-no-image")}, "CannotPullContainerError"),
        ({"ExecutionRoleArn": role_arn("web-around")}, "Could not assume role"),
        ({"InfrastructureRoleArn": role_arn("web-start")}, "Could not assume role"),
        ({"TaskRoleArn": role_arn("nobody")}, "does not exist"),
        ({"HealthCheck": "/"}, "extraneous key [healthCheck] is not permitted"),
        ({"PrimaryContainer": {"Image": IMAGE.replace(":1", ":2")}}, "not found"),
    ],
    ids=["secret", "image", "start", "around", "task", "property", "tag"],
)
def test_what_ecs_could_not_do_fails_the_deploy(
    changes: dict[str, Any], said: str, account: ChildCloud, request: pytest.FixtureRequest
) -> None:
    name = f"web-{request.node.callspec.id}"
    assert said in Service(account, name, **changes).refused()
