"""Keys at the app's API: one counts in either header, and whoever has none is told nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from local_cloud.child import ChildCloud
from tests.fakes.deployed_api import WAYS, DeployedApi, refusal
from tests.fakes.local_account import arn, log_lines, wait_for


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_key_counts_in_either_header(api: DeployedApi, way: Callable[[str], Any]) -> None:
    response = api.send("GET", "/models", headers=way(api.key))
    assert response.status_code == 200, response.text


def test_a_key_is_rotated(cloud: ChildCloud, api: DeployedApi) -> None:
    """As docs/operations.md has it."""
    gateway, first = cloud.client("apigateway"), api.outputs["ApiKeyId"]
    (plan,) = gateway.get_usage_plans(keyId=first)["items"]
    second = gateway.create_api_key(name="second", enabled=True)["id"]
    gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=second, keyType="API_KEY")
    value = gateway.get_api_key(apiKey=second, includeValue=True)["value"]

    def statuses() -> list[int]:
        keys = (api.key, value)
        return [api.send("GET", "/models", headers={"x-api-key": k}).status_code for k in keys]

    def turn(enabled: str) -> None:
        operation = {"op": "replace", "path": "/enabled", "value": enabled}
        gateway.update_api_key(apiKey=first, patchOperations=[operation])

    assert statuses() == [200, 200]
    turn("false")
    assert statuses() == [401, 200]
    turn("true")
    gateway.delete_api_key(apiKey=second)
    assert statuses() == [200, 401]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "wrong"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "{key}"},
        {"Authorization": "Basic {key}"},
        {"x-api-key": "wrong", "Authorization": "Bearer {key}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/models", "/", "/nothing/here"])
def test_without_a_key_nobody_is_told_anything(
    api: DeployedApi, path: str, headers: dict[str, str]
) -> None:
    sent = {name: value.format(key=api.key) for name, value in headers.items()}
    refused = refusal(api.send("GET", path, headers=sent), 401)
    assert (refused["type"], refused["code"]) == ("authentication_error", "invalid_api_key")


@contextmanager
def limited(api: DeployedApi, **to: str) -> Iterator[None]:
    """The usage plan, for so long; paths have an underscore for the slash."""
    gateway = api.cloud.client("apigateway")
    (plan,) = (
        plan
        for plan in gateway.get_usage_plans()["items"]
        if plan["apiStages"][0]["apiId"] in api.url
    )
    before = {
        "throttle_rateLimit": str(plan["throttle"]["rateLimit"]),
        "throttle_burstLimit": str(plan["throttle"]["burstLimit"]),
        "quota_limit": str(plan["quota"]["limit"]),
    }

    def set_to(values: dict[str, str]) -> None:
        patch = [
            {"op": "replace", "path": f"/{name.replace('_', '/')}", "value": value}
            for name, value in values.items()
        ]
        gateway.update_usage_plan(usagePlanId=plan["id"], patchOperations=patch)

    set_to(to)
    try:
        yield
    finally:
        set_to(before)


@pytest.mark.parametrize("way", ["x-api-key", "bearer"])
def test_the_plan_limits_a_key_in_either_header(api: DeployedApi, way: str) -> None:
    headers = WAYS[way](api.key)
    with limited(api, throttle_rateLimit="0", throttle_burstLimit="0"):
        throttled = api.send("GET", "/models", headers=headers)
    assert refusal(throttled, 429)["code"] == "rate_limited"
    assert throttled.headers["Retry-After"] == "1"
    with limited(api, quota_limit="0"):
        used_up = api.send("GET", "/models", headers=headers)
    assert refusal(used_up, 429)["code"] == "quota_exceeded"
    assert used_up.headers["x-should-retry"] == "false"
    assert api.send("GET", "/models", headers=headers).status_code == 200


def test_the_log_knows_the_request_and_the_key_by_their_ids(api: DeployedApi) -> None:
    sent = api.send("GET", "/models", headers=WAYS["bearer"](api.key))
    groups = [
        group["logGroupName"]
        for group in api.cloud.client("logs").describe_log_groups()["logGroups"]
        if api.stack in group["logGroupName"]
    ]
    assert len(groups) == 2

    def logged() -> Any:
        lines = [line for group in groups for line in log_lines(api.cloud, group)]
        found = [line for line in lines if sent.headers["x-request-id"] in line and "{" in line]
        return (found, lines) if found else None

    (line,), lines = wait_for(logged)
    key_id = json.loads(line)["api_key_id"]
    key = api.cloud.client("apigateway").get_api_key(apiKey=key_id, includeValue=True)
    assert key["value"] == api.key
    assert not any(api.key in each for each in lines)


def test_a_cache_would_refuse_who_sends_the_other_header(
    cloud: ChildCloud, api: DeployedApi
) -> None:
    """Why the authorizer has none; and that a key passes through one."""
    gateway = cloud.client("apigateway")
    made = gateway.create_rest_api(name="cached", apiKeySource="AUTHORIZER")["id"]
    function = arn("lambda", f"function:{api.function('authorizer')}")
    place = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions"
    authorizer = gateway.create_authorizer(
        restApiId=made,
        name="cached",
        type="REQUEST",
        authorizerUri=f"{place}/{function}/invocations",
        identitySource="method.request.header.x-api-key",
        authorizerResultTtlInSeconds=300,
    )["id"]
    (root,) = gateway.get_resources(restApiId=made)["items"]
    method = {"restApiId": made, "resourceId": root["id"], "httpMethod": "GET"}
    gateway.put_method(
        **method, authorizationType="CUSTOM", authorizerId=authorizer, apiKeyRequired=True
    )
    gateway.put_integration(**method, type="MOCK")
    gateway.create_deployment(restApiId=made, stageName="v1")
    key = gateway.create_api_key(enabled=True)
    stage = {"apiId": made, "stage": "v1"}
    plan = gateway.create_usage_plan(name="cached", apiStages=[stage])["id"]
    gateway.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")

    def status(way: str) -> int:
        url = f"{cloud.settings.url}/_aws/execute-api/{made}/v1/"
        return httpx.get(url, headers=WAYS[way](key["value"]), timeout=30).status_code

    assert status("x-api-key") == 500  # nobody has allowed the API to ask the function
    cloud.client("lambda").add_permission(
        FunctionName=function,
        StatementId="cached",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=arn("execute-api", f"{made}/authorizers/{authorizer}"),
    )
    assert status("x-api-key") == 200
    assert status("x-api-key") == 200
    assert status("bearer") == 401


@pytest.mark.parametrize("package", ["authorizer", "front_door"])
def test_a_function_that_the_api_may_not_invoke_is_a_fault_of_ours(
    api: DeployedApi, package: str
) -> None:
    functions, name = api.cloud.client("lambda"), api.function(package)
    statements = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    for each in statements:
        functions.remove_permission(FunctionName=name, StatementId=each["Sid"])
    refused = api.send("GET", "/models", headers=WAYS["bearer"](api.key))
    for each in statements:
        functions.add_permission(
            FunctionName=name,
            StatementId=each["Sid"],
            Action=each["Action"],
            Principal=each["Principal"]["Service"],
            SourceArn=each["Condition"]["ArnLike"]["AWS:SourceArn"],
        )
    assert refusal(refused, 500)["code"] == "internal_error"
    assert api.send("GET", "/models", headers=WAYS["bearer"](api.key)).status_code == 200
