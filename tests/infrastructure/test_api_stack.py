"""The public side: what callers reach, what they are told, and what it costs at most."""

import json
from pathlib import Path

import pytest

from front_door.config import Config
from tests.infrastructure.support import (
    G5_ALONE,
    Resource,
    Synthesized,
    synthesize,
    text_of,
)

STACK = "SdApiStack"
METHOD, STAGE = "AWS::ApiGateway::Method", "AWS::ApiGateway::Stage"
FUNCTION, GROUP = "AWS::Lambda::Function", "AWS::Logs::LogGroup"
ACCOUNT = "AWS::ApiGateway::Account"


def test_every_method_asks_for_a_key_and_goes_to_the_front_door(aws: Synthesized) -> None:
    asked = {
        "ApiKeyRequired": True,
        "Integration": {"Type": "AWS_PROXY", "TimeoutInMillis": 29_000},
    }
    for verb in ("POST", "GET"):
        assert aws.one(STACK, METHOD, {"HttpMethod": verb, **asked})
    assert len(aws.resources(STACK, METHOD)) == 2


def test_the_paths_are_the_public_ones(aws: Synthesized) -> None:
    resources = aws.resources(STACK, "AWS::ApiGateway::Resource")
    paths = set()
    for resource in resources.values():
        parts, parent = [resource["Properties"]["PathPart"]], resource["Properties"]["ParentId"]
        while "Ref" in parent:
            parts.insert(0, resources[parent["Ref"]]["Properties"]["PathPart"])
            parent = resources[parent["Ref"]]["Properties"]["ParentId"]
        paths.add("/".join(parts))
    assert paths == {"images", "images/generations", "models"}


def test_the_address_ends_in_the_stage(aws: Synthesized) -> None:
    outputs = aws.templates[STACK]["Outputs"]
    stage, _ = aws.one(STACK, STAGE, {"StageName": "v1"})
    assert text_of(outputs["ApiUrl"]["Value"]).endswith(f"/<{stage}>")
    assert [name for name in outputs if "Url" in name or "Endpoint" in name] == ["ApiUrl"]
    key, _ = aws.one(STACK, "AWS::ApiGateway::ApiKey")
    assert outputs["ApiKeyId"]["Value"] == {"Ref": key}


def test_a_key_is_throttled_and_has_a_daily_end(aws: Synthesized) -> None:
    """What a leaked key can cost is bounded."""
    limits = {
        "Throttle": {"BurstLimit": 10, "RateLimit": 5},
        "Quota": {"Limit": 10_000, "Period": "DAY"},
    }
    plan, _ = aws.one(STACK, "AWS::ApiGateway::UsagePlan", limits)
    assert aws.one(STACK, "AWS::ApiGateway::UsagePlanKey", {"UsagePlanId": {"Ref": plan}})


def test_the_front_door_understands_its_environment(aws: Synthesized) -> None:
    given = aws.only(STACK, FUNCTION)["Properties"]["Environment"]["Variables"]
    config = Config.from_env({name: text_of(value) for name, value in given.items()})
    assert config.variant_prefix == "/sd/variants"
    assert config.default_model == "g5"
    assert config.gateway_timeout_s == 29
    assert config.url_ttl_s == 3600
    bucket, _ = aws.one(STACK, "AWS::S3::Bucket")
    assert config.picture_bucket == f"<{bucket}>"
    # It outlives the gateway's patience.
    assert aws.one(STACK, FUNCTION, {"Timeout": 30, "Handler": "front_door.handler.handler"})


def test_pictures_are_private_encrypted_and_expire(aws: Synthesized) -> None:
    bucket = aws.only(STACK, "AWS::S3::Bucket")["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["ExpirationInDays"], rule["Status"]) == (1, "Enabled")
    assert rule["ExpirationInDays"] * 86_400 >= aws.settings.api.url_ttl_s


def test_the_account_s_logging_role_is_neither_needed_nor_touched(aws: Synthesized) -> None:
    """API Gateway keeps one for all APIs of an account; it refuses a stage that logs without it."""
    assert not aws.resources(STACK, ACCOUNT)
    stage = aws.only(STACK, STAGE)["Properties"]
    assert "AccessLogSetting" not in stage
    (settings,) = stage["MethodSettings"]
    assert settings.get("LoggingLevel", "OFF") == "OFF"
    assert settings["MetricsEnabled"] is True  # they count what the gateway refuses


@pytest.mark.parametrize(("choice", "sets_role"), [("account-role", 0), ("set-account-role", 1)])
def test_the_gateway_s_logs_have_every_request_and_no_prompt_where_they_are_on(
    tmp_path: Path, choice: str, sets_role: int
) -> None:
    found = synthesize(tmp_path, **G5_ALONE, **{"sd.api.gateway_logs": choice})
    assert len(found.resources(STACK, ACCOUNT)) == sets_role
    for account in found.resources(STACK, ACCOUNT).values():
        # Taken away, it would silence every other API of the account.
        assert account["DeletionPolicy"] == "Retain"
    resource = found.only(STACK, STAGE)
    stage = resource["Properties"]
    line = json.loads(stage["AccessLogSetting"]["Format"])
    assert {"request_id", "status", "api_key_id", "latency_ms"} <= line.keys()
    (settings,) = stage["MethodSettings"]
    assert settings["LoggingLevel"] == "ERROR"
    assert settings["DataTraceEnabled"] is False  # it would log bodies
    # The one that API Gateway would make itself, without an end.
    api, _ = found.one(STACK, "AWS::ApiGateway::RestApi")
    name = {"Fn::Join": ["", ["API-Gateway-Execution-Logs_", {"Ref": api}, "/v1"]]}
    assert found.one(STACK, GROUP, {"LogGroupName": name})[0] in resource["DependsOn"]
    kept = found.resources(STACK, GROUP, {"RetentionInDays": 30})
    assert kept == found.resources(STACK, GROUP)


def refusals(aws: Synthesized) -> dict[str, Resource]:
    found = aws.resources(STACK, "AWS::ApiGateway::GatewayResponse").values()
    return {r["Properties"]["ResponseType"]: r["Properties"] for r in found}


def test_the_gateway_s_own_refusals_have_the_api_s_form(aws: Synthesized) -> None:
    for kind, refusal in refusals(aws).items():
        template = refusal["ResponseTemplates"]["application/json"]
        body = json.loads(template.replace("$context.error.messageString", '"Forbidden"'))
        assert body.keys() == {"error"}, kind
        assert body["error"].keys() == {"message", "type", "param", "code"}, kind
        headers = refusal["ResponseParameters"]
        assert headers["gatewayresponse.header.x-request-id"] == "context.requestId", kind


def test_refusals_have_the_contract_s_status(aws: Synthesized) -> None:
    statuses = {kind: refusal.get("StatusCode") for kind, refusal in refusals(aws).items()}
    assert statuses == {
        "DEFAULT_4XX": None,
        "DEFAULT_5XX": None,
        "INVALID_API_KEY": "403",
        "MISSING_AUTHENTICATION_TOKEN": "404",
        "REQUEST_TOO_LARGE": "413",
        "THROTTLED": "429",
        "QUOTA_EXCEEDED": "429",
        "INTEGRATION_FAILURE": "500",
        "INTEGRATION_TIMEOUT": "504",
    }
    # Who is throttled is told when to come back.
    for kind in ("THROTTLED", "QUOTA_EXCEEDED"):
        header = refusals(aws)[kind]["ResponseParameters"]["gatewayresponse.header.Retry-After"]
        assert int(header.strip("'")) > 0


def test_failures_of_ours_tell_nothing_internal(aws: Synthesized) -> None:
    for kind in ("DEFAULT_5XX", "INTEGRATION_FAILURE"):
        assert "$context" not in refusals(aws)[kind]["ResponseTemplates"]["application/json"]
