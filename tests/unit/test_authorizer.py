"""Which key the gateway is given to check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from authorizer.handler import handler, key_of

METHOD = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3/v1/POST/images/generations"


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"x-api-key": "abc"}, "abc"),
        ({"X-Api-Key": " abc "}, "abc"),
        ({"Authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer   abc "}, "abc"),
        ({"Authorization": "Bearer unused", "x-api-key": "abc"}, "abc"),
        ({"Authorization": "Bearer abc", "x-api-key": ""}, "abc"),
        ({}, ""),
        ({"Authorization": ""}, ""),
        ({"Authorization": "Bearer"}, ""),
        ({"Authorization": "Bearer "}, ""),
        ({"Authorization": "abc"}, ""),
        ({"Authorization": "Basic abc"}, ""),
    ],
)
def test_the_key_is_in_either_header(headers: dict[str, str], key: str) -> None:
    assert key_of(headers) == key


def answer(headers: dict[str, str] | None) -> dict[str, Any]:
    return handler({"type": "REQUEST", "methodArn": METHOD, "headers": headers}, None)


def test_a_key_is_allowed_as_far_as_this_goes_and_handed_on() -> None:
    given = answer({"x-api-key": "abc"})
    assert given["usageIdentifierKey"] == "abc"
    (statement,) = given["policyDocument"]["Statement"]
    assert statement == {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": METHOD}


@pytest.mark.parametrize("headers", [None, {}, {"Authorization": "Basic abc"}])
def test_a_request_without_one_is_denied_whatever_its_method_asks(headers: Any) -> None:
    given = answer(headers)
    assert "usageIdentifierKey" not in given
    assert [each["Effect"] for each in given["policyDocument"]["Statement"]] == ["Deny"]


def test_it_imports_no_sdk() -> None:
    """That would be most of a cold start."""
    code = "import sys, authorizer.handler; print(*sys.modules)"
    folder = Path(__file__).resolve().parents[2] / "lambda"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, check=True, text=True
    )
    assert not {"boto3", "botocore", "urllib3", "json"} & set(run.stdout.split())
