"""What the local cloud puts right in MiniStack, and that nothing else knows MiniStack."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from local_cloud.child import ChildCloud
from local_cloud.ministack.corrections import waits_last
from local_cloud.ministack.ecr import reachable
from local_cloud.ministack.resource_arns import corrected_arn
from local_cloud.ministack.response_overrides import overridden_headers
from local_cloud.settings import REPOSITORY, CloudSettings
from tests.fakes.toy_endpoint import DIGEST

SETTINGS = CloudSettings(port=4566, state=Path("state"))


def imported(path: Path) -> set[str]:
    """The names of the modules that a file imports, wherever it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_only_its_room_imports_ministack() -> None:
    room = REPOSITORY / "local_cloud" / "ministack"
    knowing = [
        path
        for folder in ("local_cloud", "tests")
        for path in (REPOSITORY / folder).rglob("*.py")
        if any(name.split(".")[0] == "ministack" for name in imported(path))
    ]
    assert {path.parent for path in knowing} == {room}
    assert len(knowing) > 5


def test_the_rooms_have_no_import_circle() -> None:
    files = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts): imported(path)
        for path in (REPOSITORY / "local_cloud").rglob("*.py")
    }
    needs = {
        module: {
            m for m in files if m != module and any(f"{n}.".startswith(f"{m}.") for n in names)
        }
        for module, names in files.items()
    }
    while ready := [module for module, others in needs.items() if not others & needs.keys()]:
        for module in ready:
            del needs[module]
    assert needs == {}


def resource(kind: str = "AWS::S3::Bucket", *needs: str) -> dict[str, Any]:
    return {"Type": kind, "DependsOn": list(needs)}


def test_waits_come_as_late_as_they_can() -> None:
    wait = "AWS::CloudFormation::WaitCondition"
    resources = {
        "AStart": resource(),
        "AWait": resource(wait, "AStart"),
        "BStart": resource(),
        "BWait": resource(wait, "BStart"),
        "Model": resource("AWS::SageMaker::Model", "AWait", "BWait"),
        "Off": {**resource(), "Condition": "Never"},
    }
    order = waits_last(resources, {"Never": False})
    assert order == ["AStart", "BStart", "AWait", "BWait", "Model"]


def test_a_circle_is_an_error() -> None:
    with pytest.raises(ValueError, match="Circular"):
        waits_last({"A": resource("T", "B"), "B": resource("T", "A")}, {})


@pytest.mark.parametrize(
    ("service", "operation", "body", "allowed_on"),
    [
        ("ssm", "GetParametersByPath", {"Path": "/sd/v"}, "ssm:REGION:OURS:parameter/sd/v"),
        ("ssm", "DescribeParameters", {"Path": "/sd/v"}, "*"),
        ("ecr", "BatchGetImage", {}, "ecr:REGION:OURS:repository/r"),
        ("ecr", "BatchGetImage", {"registryId": "7"}, "ecr:REGION:7:repository/r"),
        (
            "logs",
            "PutLogEvents",
            {"logStreamName": "a/1"},
            "logs:REGION:OURS:log-group:g:log-stream:a/1",
        ),
        ("codebuild", "StopBuild", {"id": "p:1"}, "codebuild:REGION:OURS:project/p"),
        ("codebuild", "BatchGetBuilds", {"ids": ["p:1"]}, "codebuild:REGION:OURS:project/p"),
        (
            "sagemaker",
            "CreateEndpoint",
            {"EndpointConfigName": "C", "EndpointName": "E"},
            "sagemaker:REGION:OURS:endpoint/e",
        ),
        ("sagemaker", "ListTrainingJobs", {}, "*"),
        ("s3", "", {"id": "p:1"}, "*"),
        ("s3vectors", "", {"vectorBucketName": "b"}, "s3vectors:REGION:OURS:bucket/b"),
        (
            "s3vectors",
            "",
            {"vectorBucketArn": "arn:aws:s3vectors:us-east-1:7:bucket/b", "indexName": "i"},
            "s3vectors:REGION:7:bucket/b/index/i",
        ),
        ("s3vectors", "", {}, "*"),
    ],
)
def test_a_request_is_allowed_on_the_resource_it_is_about(
    service: str, operation: str, body: dict[str, Any], allowed_on: str
) -> None:
    known = {"ecr": "repository/r", "logs": "log-group:g"}
    said = SETTINGS.arn(service, known[service]) if service in known else "*"
    headers = {"x-amz-target": f"Service.{operation}"}
    found = corrected_arn(SETTINGS, said, service, "/", headers, json.dumps(body).encode())
    place = allowed_on.replace("REGION", "us-east-1").replace("OURS", "000000000000")
    assert found == (place if place == "*" else f"arn:aws:{place}")


def test_a_layer_s_address_is_on_this_cloud() -> None:
    asked = {"repositoryName": "images", "layerDigest": DIGEST}
    _, _, body = reachable(SETTINGS, lambda _: (200, {}, b"{}"))(asked)
    url = f"http://127.0.0.1:4566/v2/images/blobs/{DIGEST}"
    assert json.loads(body) == {"downloadUrl": url, "layerDigest": DIGEST}


def test_a_missing_image_is_an_error(cloud: ChildCloud) -> None:
    ecr = cloud.client("ecr")
    assert ecr.describe_images(repositoryName="toy", imageIds=[{"imageTag": "1"}])["imageDetails"]
    with pytest.raises(ecr.exceptions.ImageNotFoundException, match="imageTag:'none'"):
        ecr.describe_images(repositoryName="toy", imageIds=[{"imageTag": "none"}])


PREFLIGHT = """#set($origin = $input.params().header.get("Origin"))
#if($origin == "")
  #set($origin = $input.params().header.get("origin"))
#end
#if($origin == "https://b" || $origin == "https://c")
  #set($context.responseOverride.header.Access-Control-Allow-Origin = $origin)
#end"""


@pytest.mark.parametrize("name", ["Origin", "origin"])
def test_a_template_sets_a_header_by_the_request_s(name: str) -> None:
    said = overridden_headers(PREFLIGHT, {name: "https://c"})
    assert said == {"Access-Control-Allow-Origin": "https://c"}
    assert overridden_headers(PREFLIGHT, {name: "https://a"}) == {}
    assert overridden_headers(PREFLIGHT, {}) == {}


@pytest.mark.parametrize("line", ["#foreach($x in $y)", "text", '#set($x = $util.urlEncode("a"))'])
def test_what_a_template_has_else_is_refused(line: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        overridden_headers(line, {})
