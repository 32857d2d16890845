"""What the local cloud puts right in MiniStack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud.corrections import parameters_have_a_path, waits_last


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


def test_a_parameter_folder_is_the_resource_of_a_read_by_path() -> None:
    wrapped = parameters_have_a_path(lambda *_: "*")

    def resource_of(operation: str) -> str:
        headers = {"x-amz-target": f"AmazonSSM.{operation}"}
        body = json.dumps({"Path": "/sd/variants"}).encode()
        return wrapped("ssm", "POST", "/", headers, body, {}, "us-east-1", "000000000000")

    folder = "arn:aws:ssm:us-east-1:000000000000:parameter/sd/variants"
    assert resource_of("GetParametersByPath") == folder
    assert resource_of("DescribeParameters") == "*"


def test_a_log_stream_is_the_resource_of_what_names_one() -> None:
    group = "arn:aws:logs:us-east-1:000000000000:log-group:builds"
    wrapped = parameters_have_a_path(lambda *_: group)

    def resource_of(**body: str) -> str:
        request = json.dumps(body).encode()
        return wrapped("logs", "POST", "/", {}, request, {}, "us-east-1", "000000000000")

    assert resource_of(logGroupName="builds", logStreamName="a/1") == f"{group}:log-stream:a/1"
    assert resource_of(logGroupName="builds") == group
