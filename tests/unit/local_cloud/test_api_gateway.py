"""API Gateway before the front door: what reaches it and how, preflights, the web ACL."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from local_cloud.child import ChildCloud
from tests.fakes.deployed_api import ORIGINS, WAYS, DeployedApi, refusal, zipped
from tests.fakes.local_account import wait_for

ECHO = b"""import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
"""


@pytest.fixture(scope="module")
def echo(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory) -> DeployedApi:
    """An API whose front door answers with its event."""
    deployed = DeployedApi(cloud, tmp_path_factory.mktemp("echo"), **{"sd.prefix": "echo"})
    folder = tmp_path_factory.mktemp("code") / "front_door"
    folder.mkdir()
    (folder / "handler.py").write_bytes(ECHO)
    cloud.client("lambda").update_function_code(
        FunctionName=deployed.function("front_door"), ZipFile=zipped(folder.parent)
    )
    return deployed


@pytest.mark.parametrize(
    ("method", "path", "resource", "parameters"),
    [
        ("POST", "/images/edits", "/images/edits", None),
        ("DELETE", "/models", "/models", None),
        ("GET", "/models/g5", "/models/{id}", {"id": "g5"}),
        ("GET", "/openapi.json", "/openapi.json", None),
        ("PUT", "/images", "/{proxy+}", {"proxy": "images"}),
        ("GET", "/models/g5/x", "/{proxy+}", {"proxy": "models/g5/x"}),
        ("GET", "/", "/", None),
    ],
)
def test_the_front_door_is_told_path_and_method(
    echo: DeployedApi, method: str, path: str, resource: str, parameters: Any
) -> None:
    event = echo.send(method, path, headers=WAYS["bearer"](echo.key)).json()
    assert (event["httpMethod"], event["path"]) == (method, path)
    assert (event["resource"], event["pathParameters"]) == (resource, parameters)


def test_a_form_reaches_the_front_door_whole_and_json_as_text(echo: DeployedApi) -> None:
    headers, picture = WAYS["bearer"](echo.key), bytes(range(256))
    form = {"image": ("a.png", picture, "image/png")}
    event = echo.send("POST", "/images/edits", files=form, headers=headers).json()
    assert event["isBase64Encoded"] is True
    assert picture in base64.b64decode(event["body"])
    event = echo.send("POST", "/images/edits", json={"prompt": "ä"}, headers=headers).json()
    assert event["isBase64Encoded"] is False
    assert json.loads(event["body"]) == {"prompt": "ä"}


@pytest.mark.parametrize("way", ["x-api-key", "bearer"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/images"), ("POST", "/v1/models"), ("PUT", "/a/b")]
)
def test_with_a_key_the_front_door_says_what_there_is(
    api: DeployedApi, method: str, path: str, way: str
) -> None:
    """The gateway's own answer to an unknown path would be about the Authorization header."""
    response = api.send(method, path, headers=WAYS[way](api.key))
    assert refusal(response, 404)["code"] == "not_found"


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
    assert refusal(refused, 401)
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
