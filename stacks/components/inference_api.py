"""The public REST API: its paths to the front door and the batches, an API key with its plan, and
where they are asked for pages' preflights, a web ACL, traces and the gateway's logs."""

import json

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from sd_contract.limits import GATEWAY_S
from stacks.acknowledge import acknowledge
from stacks.components.callers import Callers
from stacks.components.gateway_refusals import add_refusals
from stacks.components.log_group import LogGroup
from stacks.components.web_acl import WebAcl
from stacks.settings import ApiSettings

STAGE = "v1"
# "{proxy+}" takes every other path: the gateway's own answer to one it doesn't know depends on
# whether there's an Authorization header (amazon-archives/aws-cognito-angular-quickstart#50).
PATHS = (
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
)
BATCH_PATHS = ("/files", "/files/{proxy+}", "/batches", "/batches/{proxy+}")


class InferenceApi(Construct):
    """`url` ends in /v1 without a slash; `key_id` names the API key that comes with it, of
    the usage plan `plan_id`; `authorizer` is the function that reads keys of requests, where one
    does."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        front_door: lambda_.IFunction,
        batches: lambda_.IFunction | None,
        settings: ApiSettings,
    ) -> None:
        super().__init__(scope, id)
        logs = settings.gateway_logs != "off"
        callers = Callers(self, "Callers", settings=settings)
        self.authorizer = callers.function
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=name,
            description="Images from text",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            api_key_source_type=callers.key_source,
            # Its bytes reach the front door as base64; every other body as text. "*/*" would
            # break the preflights' mock integration.
            binary_media_types=["multipart/form-data"],
            default_cors_preflight_options=_preflights(settings),
            # One role for all APIs of the account: another app's would be put out of its place.
            cloud_watch_role=settings.gateway_logs == "set-account-role",
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                tracing_enabled=settings.tracing,
                logging_level=apigateway.MethodLoggingLevel.ERROR if logs else None,
                access_log_destination=(
                    apigateway.LogGroupLogDestination(
                        LogGroup(self, "AccessLog", days=settings.log_days)
                    )
                    if logs
                    else None
                ),
                access_log_format=(
                    apigateway.AccessLogFormat.custom(_access_log_line()) if logs else None
                ),
            ),
        )
        # CDK's own output of the URL, under a name that nobody could guess; ApiUrl is ours.
        self.api.node.try_remove_child("Endpoint")
        self._routes(PATHS, front_door, callers)
        if batches:
            self._routes(BATCH_PATHS, batches, callers)
        add_refusals(self.api, settings)
        self._plan(settings)
        stage = self.api.deployment_stage
        if logs:
            # API Gateway's own, which without this it makes itself and nobody ever deletes.
            stage.node.add_dependency(
                LogGroup(
                    self,
                    "ExecutionLog",
                    days=settings.log_days,
                    name=f"API-Gateway-Execution-Logs_{self.api.rest_api_id}/{STAGE}",
                )
            )
        here = Stack.of(self)
        host = f"{self.api.rest_api_id}.execute-api.{here.region}.{here.url_suffix}"
        self.url = f"https://{host}/{stage.stage_name}"
        if settings.waf:
            WebAcl(self, "WebAcl", stage=stage, settings=settings)
        self._acknowledge(stage, settings)

    def _routes(
        self, paths: tuple[str, ...], function: lambda_.IFunction, callers: Callers
    ) -> None:
        integration = apigateway.LambdaIntegration(
            function, timeout=Duration.seconds(GATEWAY_S), allow_test_invoke=False
        )
        for path in paths:
            # ANY, so that the function says which methods a path has, and to who has a key.
            method = self.api.root.resource_for_path(path).add_method(
                "ANY", integration, **callers.method_options
            )
            callers.acknowledge(method)

    def _plan(self, settings: ApiSettings) -> None:
        key = self.api.add_api_key("Key")
        self.key_id = key.key_id
        plan = self.api.add_usage_plan(
            "Plan",
            throttle=apigateway.ThrottleSettings(
                rate_limit=settings.rate_per_s, burst_limit=settings.burst
            ),
            quota=apigateway.QuotaSettings(
                limit=settings.requests_per_day, period=apigateway.Period.DAY
            ),
            api_stages=[apigateway.UsagePlanPerApiStage(stage=self.api.deployment_stage)],
        )
        plan.add_api_key(key)
        self.plan_id = plan.usage_plan_id

    def _acknowledge(self, stage: apigateway.Stage, settings: ApiSettings) -> None:
        acknowledge(
            self.api,
            "The front door validates every field and names the wrong one and its range; a model "
            "in the gateway could refuse a body, but not say why.",
            "AwsSolutions-APIG2",
        )
        if not settings.waf:
            acknowledge(
                stage,
                "Without a key nothing passes the gateway, and with one no more than the plan's "
                "rate and daily quota; what passes is parsed by field. A web ACL costs by the "
                "month and is the owner's choice (sd.api.waf).",
                "AwsSolutions-APIG3",
            )
        if settings.gateway_logs == "off":
            acknowledge(
                stage,
                "The gateway logs under a role that is the account's, for all its APIs: setting or "
                "needing it is the owner's choice (sd.api.gateway_logs). The front door logs each "
                "request that passes, with the key's id; the stage's metrics count the refused.",
                "AwsSolutions-APIG1",
                "AwsSolutions-APIG6",
                "Serverless-APIGWAccessLogging",
                "CKV_AWS_76",
            )
        acknowledge(
            stage,
            "Each key is throttled by its plan (sd.api.rate_per_s, burst). A limit of the stage "
            "would be one for all: any caller could use up everybody's.",
            "Serverless-APIGWDefaultThrottling",
        )
        acknowledge(
            stage,
            "Pictures are drawn anew for each request, by POST, which the gateway doesn't cache by "
            "default; the rest is small. A cache costs by the hour.",
            "CKV_AWS_120",
        )
        if not settings.tracing:
            acknowledge(
                stage,
                "X-Ray costs by the request and is its owner's choice (sd.api.tracing).",
                "Serverless-APIGWXrayEnabled",
                "CKV_AWS_73",
            )
        if role := self.api.node.try_find_child("CloudWatchRole"):
            acknowledge(
                role,
                "API Gateway's one role an account for writing logs, of any API in it: AWS "
                "documents this managed policy for it, and the role is no part of this app's data "
                "path.",
                "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
                "AmazonAPIGatewayPushToCloudWatchLogs]",
            )


def _preflights(settings: ApiSettings) -> apigateway.CorsOptions | None:
    """What OPTIONS answers to browsers, on every path, without a key: they send none."""
    if not settings.cors_origins:
        return None
    return apigateway.CorsOptions(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "DELETE"],
        # "*" stands for every header but Authorization (Fetch standard, CORS protocol).
        allow_headers=["authorization", "*"],
        # As long as any browser keeps it.
        max_age=Duration.days(1),
    )


def _access_log_line() -> str:
    """No path parameters, bodies or addresses: who (the key's id), what, how it went, how long."""
    context = apigateway.AccessLogField
    return json.dumps(
        {
            "request_id": context.context_request_id(),
            "api_key_id": context.context_identity_api_key_id(),
            "method": context.context_http_method(),
            "path": context.context_resource_path(),
            "status": context.context_status(),
            "error": context.context_error_response_type(),
            "latency_ms": context.context_response_latency(),
            "integration_latency_ms": context.context_integration_latency(),
            "integration_status": context.context_integration_status(),
        }
    )
