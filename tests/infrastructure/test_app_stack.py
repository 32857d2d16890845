"""The generator app's stack: who gets in, what its roles may do, what it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.support import G5_ALONE, Synthesized, synthesize, text_of

STACK = "SdAppStack"
SERVICE = "AWS::ECS::ExpressGatewayService"
CLIENT, POOL = "AWS::Cognito::UserPoolClient", "AWS::Cognito::UserPool"


@pytest.fixture(scope="module")
def service(aws: Synthesized) -> dict[str, Any]:
    properties: dict[str, Any] = aws.only(STACK, SERVICE)["Properties"]
    return properties


def test_the_app_may_look_up_its_sign_in_and_nothing_else(
    aws: Synthesized, service: dict[str, Any]
) -> None:
    pool, _ = aws.one(STACK, POOL)
    assert aws.allowed(STACK, service["TaskRoleArn"]) == {
        "cognito-idp:ListUserPoolClients": [f"<{pool}.Arn>"],
        "cognito-idp:DescribeUserPoolClient": [f"<{pool}.Arn>"],
    }


def test_what_starts_the_app_may_read_its_key_its_image_and_write_its_log(
    aws: Synthesized, service: dict[str, Any]
) -> None:
    allowed = aws.allowed(STACK, service["ExecutionRoleArn"])
    secret, _ = aws.one(STACK, "AWS::SecretsManager::Secret")
    assert allowed.pop("secretsmanager:GetSecretValue") == [f"<{secret}>"]
    assert allowed.pop("ecr:GetAuthorizationToken") == ["*"]
    assert {action.split(":")[0] for action in allowed} == {"ecr", "logs"}
    assert ["*"] not in allowed.values()


def test_nobody_signs_up_and_each_has_a_second_factor(aws: Synthesized) -> None:
    pool = aws.only(STACK, POOL)["Properties"]
    assert pool["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert pool["MfaConfiguration"] == "ON"


def test_the_one_client_is_made_after_the_service_with_its_address(aws: Synthesized) -> None:
    name, _ = aws.one(STACK, SERVICE)
    client = aws.only(STACK, CLIENT)["Properties"]
    (callback,) = client["CallbackURLs"]
    assert text_of(callback) == f"https://<{name}.Endpoint>/oauth2callback"
    assert client["GenerateSecret"] is True
    assert client["AllowedOAuthFlows"] == ["code"]


def test_no_secret_stands_in_the_template(aws: Synthesized, service: dict[str, Any]) -> None:
    key = aws.only(STACK, "AWS::ApiGateway::ApiKey")["Properties"]["Value"]
    assert text_of(key).startswith("{{resolve:secretsmanager:")
    assert "ClientSecret" not in json.dumps(aws.templates[STACK])
    names = {each["Name"] for each in service["PrimaryContainer"]["Environment"]}
    assert names == {"SD_APP_API_URL", "SD_APP_OIDC_USER_POOL", "STREAMLIT_SERVER_PORT"}
    assert [each["Name"] for each in service["PrimaryContainer"]["Secrets"]] == ["SD_APP_API_KEY"]


def test_one_task_runs_at_a_time(service: dict[str, Any]) -> None:
    assert service["ScalingTarget"] == {"MinTaskCount": 1, "MaxTaskCount": 1}


def test_it_runs_in_the_subnets_that_are_set(service: dict[str, Any], tmp_path: Path) -> None:
    assert "NetworkConfiguration" not in service
    subnets = [f"subnet-{number:017x}" for number in range(2)]
    app = synthesize(tmp_path, **{"sd.app.subnets": ",".join(subnets)}, **G5_ALONE)
    given = app.only(STACK, SERVICE)["Properties"]["NetworkConfiguration"]
    assert given == {"Subnets": subnets}


def test_there_is_none_where_a_key_is_not_enough(tmp_path: Path) -> None:
    app = synthesize(tmp_path, **{"sd.api.authorization": "iam"}, **G5_ALONE)
    assert STACK not in app.templates
