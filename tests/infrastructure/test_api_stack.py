"""The public side: what callers reach, what they are told, and what it costs at most."""

import json
from pathlib import Path
from typing import Any

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
API, AUTHORIZER = "AWS::ApiGateway::RestApi", "AWS::ApiGateway::Authorizer"
FRONT_DOOR = {"Handler": "front_door.handler.handler"}
POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_AbC"
ACCOUNT = "AWS::ApiGateway::Account"


def paths(aws: Synthesized) -> dict[str, str]:
    """Of the API's resources, by what a method's ResourceId says: a logical id, or "" of "/"."""
    resources = aws.resources(STACK, "AWS::ApiGateway::Resource")
    found = {"": "/"}
    for name, resource in resources.items():
        parts, parent = [resource["Properties"]["PathPart"]], resource["Properties"]["ParentId"]
        while "Ref" in parent:
            parts.insert(0, resources[parent["Ref"]]["Properties"]["PathPart"])
            parent = resources[parent["Ref"]]["Properties"]["ParentId"]
        found[name] = "/" + "/".join(parts)
    return found


def methods(aws: Synthesized, verb: str) -> dict[str, dict[str, Any]]:
    """Properties by path."""
    names = paths(aws)
    return {
        names[resource["Properties"]["ResourceId"].get("Ref", "")]: resource["Properties"]
        for resource in aws.resources(STACK, METHOD, {"HttpMethod": verb}).values()
    }


BATCHES = {"/files", "/files/{proxy+}", "/batches", "/batches/{proxy+}"}


def test_every_path_asks_for_a_key_and_goes_to_a_function(aws: Synthesized) -> None:
    """Whatever the method: which ones a path has, only who has a key is told."""
    found = methods(aws, "ANY")
    assert found.keys() == BATCHES | {
        "/",
        "/images/generations",
        "/images/edits",
        "/embeddings",
        "/models",
        "/models/{id}",
        "/openapi.json",
        "/similar",
        "/pictures",
        "/pictures/{id}",
        "/{proxy+}",
    }
    for method in found.values():
        assert method["ApiKeyRequired"] is True
        assert method["Integration"]["Type"] == "AWS_PROXY"
        assert method["Integration"]["TimeoutInMillis"] == 29_000
    assert len(aws.resources(STACK, METHOD)) == len(found)
    uris = {path: text_of(method["Integration"]["Uri"]) for path, method in found.items()}
    # By its name: its stack comes after this one.
    assert {path for path, uri in uris.items() if ":function:sd-batches/" in uri} == BATCHES
    front_door, _ = aws.one(STACK, FUNCTION, FRONT_DOOR)
    assert all(f"<{front_door}.Arn>" in uris[path] for path in found.keys() - BATCHES)


def test_the_key_is_what_the_authorizer_finds_in_either_header(aws: Synthesized) -> None:
    authorizer, resource = aws.one(STACK, AUTHORIZER, {"Type": "REQUEST"})
    # With a cache the gateway would refuse whoever sends one header of two, unasked.
    assert resource["Properties"]["AuthorizerResultTtlInSeconds"] == 0
    assert resource["Properties"]["IdentitySource"] == ""
    assert aws.one(STACK, API, {"ApiKeySourceType": "AUTHORIZER"})
    for method in methods(aws, "ANY").values():
        assert method["AuthorizationType"] == "CUSTOM"
        assert method["AuthorizerId"] == {"Ref": authorizer}


def test_the_authorizer_knows_no_key(aws: Synthesized) -> None:
    role = aws.function_role(STACK, "authorizer")
    assert aws.allowed(STACK, role).keys() == {"logs:CreateLogStream", "logs:PutLogEvents"}
    handler = {"Handler": "authorizer.handler.handler"}
    assert "Environment" not in aws.only(STACK, FUNCTION, handler)["Properties"]


def test_of_bodies_only_forms_are_binary(aws: Synthesized) -> None:
    """JSON reaches the front door as text, and what it answers the caller."""
    assert aws.only(STACK, API)["Properties"]["BinaryMediaTypes"] == ["multipart/form-data"]


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
    given = aws.only(STACK, FUNCTION, FRONT_DOOR)["Properties"]["Environment"]["Variables"]
    config = Config.from_env({name: text_of(value) for name, value in given.items()})
    assert config.variant_prefix == "/sd/variants"
    assert config.default_model == "g5"
    assert config.gateway_timeout_s == 29
    assert config.url_ttl_s == 3600
    bucket, _ = aws.one(STACK, "AWS::S3::Bucket")
    assert config.picture_bucket == f"<{bucket}>"
    # It outlives the gateway's patience.
    assert aws.only(STACK, FUNCTION, FRONT_DOOR)["Properties"]["Timeout"] == 30


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
    assert "MethodSettings" not in stage


@pytest.mark.parametrize("choice", ["off", "account-role"])
def test_no_metrics_of_single_methods_are_paid_for(tmp_path: Path, choice: str) -> None:
    """The stage's own, which alarms and dashboard read, come without (developer guide,
    api-gateway-metrics-and-dimensions)."""
    found = synthesize(tmp_path, **G5_ALONE, **{"sd.api.gateway_logs": choice})
    stage = found.only(STACK, STAGE)["Properties"]
    for settings in stage.get("MethodSettings", ()):
        assert not settings.get("MetricsEnabled")


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


RETRY = "gatewayresponse.header.x-should-retry"


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
        "INVALID_API_KEY": "401",
        "ACCESS_DENIED": "401",
        "AUTHORIZER_FAILURE": "500",
        "AUTHORIZER_CONFIGURATION_ERROR": "500",
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


@pytest.mark.parametrize("kind", ["INVALID_API_KEY", "ACCESS_DENIED"])
def test_whoever_has_no_key_is_told_how_to_send_one(aws: Synthesized, kind: str) -> None:
    error = json.loads(refusals(aws)[kind]["ResponseTemplates"]["application/json"])["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert "Authorization: Bearer" in error["message"]
    assert "x-api-key" in error["message"]


@pytest.mark.parametrize("kind", ["DEFAULT_5XX", "INTEGRATION_TIMEOUT", "QUOTA_EXCEEDED"])
def test_what_cost_something_or_cannot_succeed_is_not_to_be_sent_again(
    aws: Synthesized, kind: str
) -> None:
    assert refusals(aws)[kind]["ResponseParameters"][RETRY] == "'false'"


@pytest.mark.parametrize("kind", ["THROTTLED", "AUTHORIZER_FAILURE"])
def test_what_cost_nothing_may_be_sent_again(aws: Synthesized, kind: str) -> None:
    assert RETRY not in refusals(aws)[kind]["ResponseParameters"]


def test_failures_of_ours_tell_nothing_internal(aws: Synthesized) -> None:
    for kind in ("DEFAULT_5XX", "INTEGRATION_FAILURE"):
        assert "$context" not in refusals(aws)[kind]["ResponseTemplates"]["application/json"]


# --- what settings turn on -----------------------------------------------------------------------


def test_without_origins_no_page_may_call(aws: Synthesized) -> None:
    assert "Access-Control" not in json.dumps(aws.templates[STACK])


@pytest.mark.parametrize(
    ("origins", "of_refusals"),
    [("https://a.example", "https://a.example"), ("https://a.example,https://b.example", "*")],
)
def test_pages_of_the_origins_may_call_every_path(
    tmp_path: Path, origins: str, of_refusals: str
) -> None:
    found = synthesize(tmp_path, **G5_ALONE, **{"sd.api.cors_origins": origins})
    preflights = methods(found, "OPTIONS")
    assert preflights.keys() == {"/images", *methods(found, "ANY")}
    for method in preflights.values():
        assert method["Integration"]["Type"] == "MOCK"
        assert method["AuthorizationType"] == "NONE"  # browsers send no key with it
        assert method["ApiKeyRequired"] is False
        answer = json.dumps(method["Integration"]["IntegrationResponses"])
        assert all(origin in answer for origin in origins.split(","))
        assert "'authorization,*'" in answer
        assert "'GET,POST,DELETE'" in answer
    for kind, refusal in refusals(found).items():
        header = "gatewayresponse.header.Access-Control-Allow-Origin"
        assert refusal["ResponseParameters"][header] == f"'{of_refusals}'", kind
    given = found.only(STACK, FUNCTION, FRONT_DOOR)["Properties"]["Environment"]["Variables"]
    assert given["SD_CORS_ORIGINS"] == origins


@pytest.mark.parametrize(
    ("context", "kind", "unauthenticated"),
    [
        ({"sd.api.authorization": "iam"}, "AWS_IAM", "MISSING_AUTHENTICATION_TOKEN"),
        (
            {"sd.api.authorization": "cognito", "sd.api.cognito_user_pool": POOL},
            "COGNITO_USER_POOLS",
            "UNAUTHORIZED",
        ),
    ],
)
def test_iam_or_a_user_pool_is_asked_beside_the_key(
    tmp_path: Path, context: dict[str, str], kind: str, unauthenticated: str
) -> None:
    found = synthesize(tmp_path, **G5_ALONE, **context)
    assert found.one(STACK, API, {"ApiKeySourceType": "HEADER"})
    for method in methods(found, "ANY").values():
        assert method["AuthorizationType"] == kind
        assert method["ApiKeyRequired"] is True
    assert not found.resources(STACK, FUNCTION, {"Handler": "authorizer.handler.handler"})
    said = refusals(found)
    for name in (unauthenticated, "INVALID_API_KEY"):
        assert said[name]["StatusCode"] == "401"
        assert "authentication_error" in said[name]["ResponseTemplates"]["application/json"]
    # Whoever is known and not allowed is.
    assert said["ACCESS_DENIED"]["StatusCode"] == "403"


WAF, ASSOCIATION = "AWS::WAFv2::WebACL", "AWS::WAFv2::WebACLAssociation"


def test_no_web_acl_costs_unasked(aws: Synthesized) -> None:
    assert not aws.resources(STACK, WAF)


def test_the_web_acl_lets_through_what_the_front_door_takes(tmp_path: Path) -> None:
    found = synthesize(
        tmp_path,
        **G5_ALONE,
        **{
            "sd.api.waf": "true",
            "sd.api.waf_rate": "500",
            "sd.api.cors_origins": "https://a.example",
        },
    )
    acl, resource = found.one(STACK, WAF, {"Scope": "REGIONAL", "DefaultAction": {"Allow": {}}})
    stage = text_of(found.only(STACK, ASSOCIATION)["Properties"]["ResourceArn"])
    api, _ = found.one(STACK, API)
    assert stage.startswith(f"arn:<AWS::Partition>:apigateway:us-east-1::/restapis/<{api}>/stages/")
    assert found.one(STACK, ASSOCIATION, {"WebACLArn": {"Fn::GetAtt": [acl, "Arn"]}})

    rate, size, common = resource["Properties"]["Rules"]
    limit = rate["Statement"]["RateBasedStatement"]
    assert (limit["Limit"], limit["AggregateKeyType"]) == (500, "IP")
    *others, larger = size["Statement"]["AndStatement"]["Statements"]
    ends = [each["NotStatement"]["Statement"]["ByteMatchStatement"] for each in others]
    assert [(end["SearchString"], end["PositionalConstraint"]) for end in ends] == [
        ("/images/edits", "ENDS_WITH"),
        ("/embeddings", "ENDS_WITH"),
        ("/files", "ENDS_WITH"),
        ("/batches", "ENDS_WITH"),
    ]
    constraint = larger["SizeConstraintStatement"]
    assert (constraint["ComparisonOperator"], constraint["Size"]) == ("GT", 32_768)
    assert constraint["FieldToMatch"] == {"Body": {"OversizeHandling": "MATCH"}}
    # Anything less would make oversize what the front door takes.
    seen = resource["Properties"]["AssociationConfig"]["RequestBody"]["API_GATEWAY"]
    assert seen == {"DefaultSizeInspectionLimit": "KB_32"}
    overrides = common["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"]
    assert {(each["Name"], *each["ActionToUse"]) for each in overrides} == {
        ("SizeRestrictions_BODY", "Count"),
        ("CrossSiteScripting_BODY", "Count"),
        ("GenericLFI_BODY", "Count"),
    }
    bodies = resource["Properties"]["CustomResponseBodies"]
    for rule, status in ((rate, 429), (size, 413)):
        response = rule["Action"]["Block"]["CustomResponse"]
        assert response["ResponseCode"] == status
        body = json.loads(bodies[response["CustomResponseBodyKey"]]["Content"])
        assert body["error"].keys() == {"message", "type", "param", "code"}
        headers = {each["Name"]: each["Value"] for each in response["ResponseHeaders"]}
        assert headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert refusals(found)["WAF_FILTERED"]["StatusCode"] == "403"


def test_the_web_acl_keeps_no_sample_of_a_request(tmp_path: Path) -> None:
    """It has the headers, and so the key."""
    found = synthesize(tmp_path, **G5_ALONE, **{"sd.api.waf": "true"})
    acl = found.only(STACK, WAF)["Properties"]
    for part in (acl, *acl["Rules"]):
        assert part["VisibilityConfig"]["SampledRequestsEnabled"] is False


def test_traces_only_where_they_are_asked_for(aws: Synthesized, tmp_path: Path) -> None:
    assert "TracingConfig" not in aws.only(STACK, FUNCTION, FRONT_DOOR)["Properties"]
    found = synthesize(tmp_path, **G5_ALONE, **{"sd.api.tracing": "true"})
    assert found.only(STACK, STAGE)["Properties"]["TracingEnabled"] is True
    function = found.only(STACK, FUNCTION, FRONT_DOOR)["Properties"]
    assert function["TracingConfig"] == {"Mode": "Active"}
    writing = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    statements = [each for each in found.statements() if writing & {*each.actions}]
    assert all(set(statement.actions) == writing for statement in statements)
    # The front door's, those of batches and those of the gallery.
    assert len(statements) == 9
