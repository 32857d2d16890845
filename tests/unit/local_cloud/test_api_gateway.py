"""API Gateway as the app's own API needs it: keys, refusals, preflights, who else may call."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_cloud.child import ChildCloud
from local_cloud.settings import REPOSITORY
from tests.fakes.deployed_api import DeployedApi
from tests.fakes.local_account import allow, arn, client_of_user, log_lines, wait_for

PASSWORD = "Secret-123"  # noqa: S105
ORIGINS = ("https://a.example", "https://b.example")
WAYS: dict[str, Callable[[str], dict[str, str]]] = {
    "x-api-key": lambda key: {"x-api-key": key},
    "bearer": lambda key: {"Authorization": f"Bearer {key}"},
    "any capitals": lambda key: {"authorization": f"BEARER  {key}"},
    "both": lambda key: {"X-Api-Key": key, "Authorization": "Bearer unused"},
}


@pytest.fixture(scope="module")
def api(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory) -> DeployedApi:
    context = {
        "sd.prefix": "gate",
        "sd.api.cors_origins": ",".join(ORIGINS),
        "sd.api.waf": "true",
        "sd.api.tracing": "true",
    }
    return DeployedApi(cloud, tmp_path_factory.mktemp("gate"), **context)


def error(response: httpx.Response, status: int) -> dict[str, Any]:
    """As every refusal has it."""
    assert response.status_code == status, response.text
    assert response.headers["x-request-id"]
    found: dict[str, Any] = response.json()["error"]
    assert found.keys() == {"message", "type", "param", "code"}
    return found


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_key_counts_in_either_header(api: DeployedApi, way: Callable[[str], Any]) -> None:
    response = api.send("GET", "/models", headers=way(api.key))
    assert response.status_code == 200, response.text


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
    refused = error(api.send("GET", path, headers=sent), 401)
    assert (refused["type"], refused["code"]) == ("authentication_error", "invalid_api_key")


@pytest.mark.parametrize("way", ["x-api-key", "bearer"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/images"), ("POST", "/v1/models"), ("PUT", "/a/b")]
)
def test_with_a_key_the_front_door_says_what_there_is(
    api: DeployedApi, method: str, path: str, way: str
) -> None:
    """The gateway's own answer to an unknown path would be about the Authorization header."""
    assert error(api.send(method, path, headers=WAYS[way](api.key)), 404)["code"] == "not_found"


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
    assert error(throttled, 429)["code"] == "rate_limited"
    assert throttled.headers["Retry-After"] == "1"
    with limited(api, quota_limit="0"):
        used_up = api.send("GET", "/models", headers=headers)
    assert error(used_up, 429)["code"] == "quota_exceeded"
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
    (function,) = (
        each["FunctionArn"]
        for each in cloud.client("lambda").list_functions()["Functions"]
        if each["Handler"] == "authorizer.handler.handler" and api.stack in each["FunctionName"]
    )
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


@pytest.mark.parametrize("handler", ["authorizer.handler.handler", "front_door.handler.handler"])
def test_a_function_that_the_api_may_not_invoke_is_a_fault_of_ours(
    api: DeployedApi, handler: str
) -> None:
    functions = api.cloud.client("lambda")
    (name,) = (
        each["FunctionName"]
        for each in functions.list_functions()["Functions"]
        if each["Handler"] == handler and api.stack in each["FunctionName"]
    )
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
    assert error(refused, 500)["code"] == "internal_error"
    assert api.send("GET", "/models", headers=WAYS["bearer"](api.key)).status_code == 200


# --- pages of other origins, the web ACL ---------------------------------------------------------


@pytest.mark.parametrize("path", ["/images/edits", "/models/g5", "/", "/nothing/here"])
@pytest.mark.parametrize(
    ("origin", "allowed"), [*((each, each) for each in ORIGINS), ("https://c.example", ORIGINS[0])]
)
def test_a_preflight_needs_no_key_and_names_the_caller_s_origin(
    api: DeployedApi, path: str, origin: str, allowed: str
) -> None:
    """One that isn't listed gets another's name, which its browser refuses."""
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    response = api.send("OPTIONS", path, headers=asked)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == allowed
    assert response.headers["Access-Control-Allow-Headers"] == "authorization,*"
    assert response.headers["Vary"] == "Origin"


def test_a_page_may_read_the_gateway_s_refusals(api: DeployedApi) -> None:
    refused = api.send("GET", "/models", headers={"Origin": ORIGINS[1]})
    assert error(refused, 401)
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    assert "x-request-id" in refused.headers["Access-Control-Expose-Headers"]


def test_the_web_acl_stands_before_the_stage(api: DeployedApi) -> None:
    stage = f"arn:aws:apigateway:us-east-1::/restapis/{api.url.split('/')[-2]}/stages/v1"
    waf = api.cloud.client("wafv2")
    (acl,) = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
    assert waf.list_resources_for_web_acl(WebACLArn=acl["ARN"])["ResourceArns"] == [stage]


def test_no_web_acl_stands_before_a_stage_that_is_not_there(api: DeployedApi) -> None:
    properties = {
        "ResourceArn": "arn:aws:apigateway:us-east-1::/restapis/a1b2c3d4/stages/v1",
        "WebACLArn": api.cloud.client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"][0]["ARN"],
    }
    resource = {"Type": "AWS::WAFv2::WebACLAssociation", "Properties": properties}
    cloudformation = api.cloud.client("cloudformation")
    cloudformation.create_stack(
        StackName="nowhere", TemplateBody=json.dumps({"Resources": {"Association": resource}})
    )

    def said() -> bool:
        events = cloudformation.describe_stack_events(StackName="nowhere")["StackEvents"]
        return any(
            "your resource doesn't exist" in each.get("ResourceStatusReason", "") for each in events
        )

    assert wait_for(said)


# --- beside the key ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def iam_api(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory) -> DeployedApi:
    context = {"sd.prefix": "iam", "sd.api.authorization": "iam"}
    return DeployedApi(cloud, tmp_path_factory.mktemp("iam"), **context)


def signed(api: DeployedApi, user: Any, **headers: str) -> httpx.Response:
    request = AWSRequest("GET", f"{api.url}/models", headers=headers)
    credentials = user._request_signer._credentials
    SigV4Auth(
        Credentials(credentials.access_key, credentials.secret_key), "execute-api", "us-east-1"
    ).add_auth(request)
    return api.send("GET", "/models", headers=dict(request.headers))


def test_with_iam_a_signed_request_needs_a_key_and_leave(
    cloud: ChildCloud, iam_api: DeployedApi
) -> None:
    api_id = iam_api.url.split("/")[-2]
    may = allow("execute-api:Invoke", arn("execute-api", f"{api_id}/v1/*"))
    caller = client_of_user(cloud, "caller", "sts", may)
    stranger = client_of_user(cloud, "stranger", "sts")
    key = {"x-api-key": iam_api.key}

    assert signed(iam_api, caller, **key).status_code == 200
    assert error(signed(iam_api, caller), 401)["code"] == "invalid_api_key"
    assert error(signed(iam_api, stranger, **key), 403)["code"] == "access_denied"
    assert error(iam_api.send("GET", "/models", headers=key), 401)["code"] == "invalid_token"
    unknown = iam_api.send("GET", "/nothing", headers=key)
    assert error(unknown, 401)["code"] == "invalid_token"


def test_with_cognito_a_token_of_the_pool_needs_a_key(
    cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cognito = cloud.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="people")["UserPool"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool["Id"], ClientName="app", ExplicitAuthFlows=["ADMIN_NO_SRP_AUTH"]
    )["UserPoolClient"]["ClientId"]
    cognito.admin_create_user(UserPoolId=pool["Id"], Username="ann")
    cognito.admin_set_user_password(
        UserPoolId=pool["Id"], Username="ann", Password=PASSWORD, Permanent=True
    )
    token = cognito.admin_initiate_auth(
        UserPoolId=pool["Id"],
        ClientId=client,
        AuthFlow="ADMIN_NO_SRP_AUTH",
        AuthParameters={"USERNAME": "ann", "PASSWORD": PASSWORD},
    )["AuthenticationResult"]["IdToken"]
    context = {
        "sd.prefix": "pool",
        "sd.api.authorization": "cognito",
        "sd.api.cognito_user_pool": pool["Arn"],
    }
    api = DeployedApi(cloud, tmp_path_factory.mktemp("pool"), **context)
    bearer, key = {"Authorization": f"Bearer {token}"}, {"x-api-key": api.key}

    assert api.send("GET", "/models", headers={**bearer, **key}).status_code == 200
    assert error(api.send("GET", "/models", headers=bearer), 401)["code"] == "invalid_api_key"
    assert error(api.send("GET", "/models", headers=key), 401)["code"] == "invalid_token"
    wrong = {"Authorization": "Bearer no.token.atall", **key}
    assert error(api.send("GET", "/models", headers=wrong), 401)["code"] == "invalid_token"


def test_the_authorizer_imports_no_sdk() -> None:
    """It would be most of a cold start."""
    code = "import sys, authorizer.handler; print(*sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY / "lambda", capture_output=True, check=True
    )
    assert not {b"boto3", b"botocore", b"json", b"urllib"} & set(run.stdout.split())
