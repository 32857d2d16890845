"""The app's API on a local cloud, from its template alone: without the CDK's CLI, or a variant."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from local_cloud.child import ChildCloud
from local_cloud.settings import api_url
from tests.fakes.local_account import wait_for
from tests.infrastructure.support import G5_ALONE, synthesize

ORIGINS = ("https://a.example", "https://b.example")
WAYS: dict[str, Callable[[str], dict[str, str]]] = {
    "x-api-key": lambda key: {"x-api-key": key},
    "bearer": lambda key: {"Authorization": f"Bearer {key}"},
    "any capitals": lambda key: {"authorization": f"BEARER  {key}"},
    "both": lambda key: {"X-Api-Key": key, "Authorization": "Bearer unused"},
}
"""How a caller may send a key."""
# The plan's own rate would refuse tests on a machine that runs them faster than that.
UNHURRIED = {"sd.api.rate_per_s": "1000", "sd.api.burst": "1000"}
ASSETS = "cdk-hnb659fds-assets-000000000000-us-east-1"


class DeployedApi:
    """`context` is `cdk deploy -c`'s. Of a bootstrap there is what the template needs."""

    def __init__(self, cloud: ChildCloud, folder: Path, **context: str) -> None:
        self.cloud = cloud
        self.app = synthesize(folder, **G5_ALONE, **UNHURRIED, **context)
        (self.stack,) = (name for name in self.app.templates if name.endswith("ApiStack"))
        self._bootstrap()
        self.publish(self.stack)
        for needed in self.app.dependencies[self.stack]:
            self.prepare(self._create(needed))
        self.outputs = outputs = self._create(self.stack)
        key = cloud.client("apigateway").get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)
        self.url = api_url(cloud.settings, outputs["ApiUrl"])
        self.key: str = key["value"]

    def prepare(self, outputs: Mapping[str, str]) -> None:
        """Once a stack is there that the API's needs."""

    def _create(self, stack: str) -> dict[str, str]:
        """Its outputs."""
        template = json.dumps(self.app.templates[stack]).encode()
        self.cloud.client("s3").put_object(Bucket=ASSETS, Key=f"{stack}.json", Body=template)
        cloudformation = self.cloud.client("cloudformation")
        cloudformation.create_stack(
            StackName=stack,
            # In the request itself CloudFormation takes 51,200 bytes of a template.
            TemplateURL=f"https://s3.us-east-1.amazonaws.com/{ASSETS}/{stack}.json",
            Capabilities=["CAPABILITY_IAM"],
        )

        def made() -> Any:
            (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
            return found if not found["StackStatus"].endswith("_IN_PROGRESS") else None

        described = wait_for(made)
        if described["StackStatus"] != "CREATE_COMPLETE":
            pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
            events = [event for page in pages for event in page["StackEvents"]]
            reasons = [each.get("ResourceStatusReason", "") for each in events]
            raise AssertionError("; ".join(filter(None, reasons)))
        return {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        return httpx.request(method, f"{self.url}{path}", timeout=30, **request)

    def function(self, package: str) -> str:
        """The name of the function from that package of lambda/."""
        described = self.cloud.client("cloudformation").describe_stack_resources(
            StackName=self.stack
        )
        ours = [each.get("PhysicalResourceId") for each in described["StackResources"]]
        (name,) = (
            each["FunctionName"]
            for each in self.cloud.client("lambda").list_functions()["Functions"]
            if each["Handler"] == f"{package}.handler.handler" and each["FunctionName"] in ours
        )
        return str(name)

    def _bootstrap(self) -> None:
        ssm, s3 = self.cloud.client("ssm"), self.cloud.client("s3")
        version = {"Name": "/cdk-bootstrap/hnb659fds/version", "Value": "21", "Type": "String"}
        ssm.put_parameter(**version, Overwrite=True)
        s3.create_bucket(Bucket=ASSETS)

    def publish(self, stack: str) -> None:
        """Its assets."""
        s3 = self.cloud.client("s3")
        assets = json.loads((self.app.folder / f"{stack}.assets.json").read_text())
        for file in assets["files"].values():
            if file["source"]["packaging"] == "zip":
                (destination,) = file["destinations"].values()
                archive = zipped(self.app.folder / file["source"]["path"])
                s3.put_object(Bucket=ASSETS, Key=destination["objectKey"], Body=archive)


def refusal(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error, which has the form that every one has."""
    assert response.status_code == status, response.text
    assert response.headers["x-request-id"]
    found: dict[str, Any] = response.json()["error"]
    assert found.keys() == {"message", "type", "param", "code"}
    return found


def zipped(folder: Path) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                files.write(path, path.relative_to(folder))
    return archive.getvalue()
