"""The public REST API: two routes to the front door, an API key with its plan, the gateway's own
refusals in the API's error form, and its logs where they are asked for."""

import json
from dataclasses import dataclass

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from sd_contract.limits import GATEWAY_S
from stacks.acknowledge import acknowledge
from stacks.components.log_group import LogGroup
from stacks.settings import ApiSettings

STAGE = "v1"


@dataclass(frozen=True)
class Refusal:
    """What the gateway says in the front door's place; `message` None leaves it its own words."""

    type: str
    code: str
    message: str | None = None
    status: int | None = None
    retry_after_s: int | None = None

    def body(self) -> str:
        # messageString is the gateway's own message, quoted already.
        message = "$context.error.messageString" if self.message is None else f'"{self.message}"'
        rest = json.dumps({"type": self.type, "param": None, "code": self.code})[1:]
        return f'{{"error": {{"message": {message}, {rest}}}'

    def headers(self) -> dict[str, str]:
        headers = {"x-request-id": "context.requestId"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = f"'{self.retry_after_s}'"
        return headers


# docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
# Types and codes are the front door's own (lambda/front_door/api_gateway.py) where it has them.
_SERVER = "Something went wrong on our side; quote x-request-id."
REFUSALS = {
    "DEFAULT_4_XX": Refusal("invalid_request_error", "bad_request"),
    "DEFAULT_5_XX": Refusal("server_error", "internal_error", _SERVER),
    "INTEGRATION_FAILURE": Refusal("server_error", "internal_error", _SERVER, 500),
    "INTEGRATION_TIMEOUT": Refusal(
        "server_error",
        "timeout",
        "The model did not answer in time; ask for fewer images or steps, or try again.",
        504,
    ),
    "INVALID_API_KEY": Refusal(
        "authentication_error",
        "invalid_api_key",
        "The x-api-key header is missing or holds no valid key.",
        403,
    ),
    # What the gateway calls a path and method it doesn't have.
    "MISSING_AUTHENTICATION_TOKEN": Refusal(
        "invalid_request_error", "not_found", "The API has no such method and path.", 404
    ),
    "REQUEST_TOO_LARGE": Refusal(
        "invalid_request_error", "body_too_large", "The request body is too large.", 413
    ),
    "THROTTLED": Refusal(
        "rate_limit_error", "rate_limited", "Too many requests; try again shortly.", 429, 1
    ),
    "QUOTA_EXCEEDED": Refusal(
        "rate_limit_error",
        "quota_exceeded",
        "The key's requests of the day are used up.",
        429,
        3600,
    ),
}


class InferenceApi(Construct):
    """`url` ends in /v1 without a slash; `key_id` names the one API key."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        front_door: lambda_.IFunction,
        settings: ApiSettings,
    ) -> None:
        super().__init__(scope, id)
        logs = settings.gateway_logs != "off"
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=name,
            description="Images from text",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            # One role for all APIs of the account: another app's would be put out of its place.
            cloud_watch_role=settings.gateway_logs == "set-account-role",
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                metrics_enabled=True,
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
        self._routes(front_door)
        for name, refusal in REFUSALS.items():
            self.api.add_gateway_response(
                name.replace("_", " ").title().replace(" ", ""),
                type=getattr(apigateway.ResponseType, name),
                status_code=str(refusal.status) if refusal.status else None,
                response_headers=refusal.headers(),
                templates={"application/json": refusal.body()},
            )
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
        self._acknowledge(stage, logs=logs)

    def _routes(self, front_door: lambda_.IFunction) -> None:
        integration = apigateway.LambdaIntegration(
            front_door, timeout=Duration.seconds(GATEWAY_S), allow_test_invoke=False
        )
        generations = self.api.root.add_resource("images").add_resource("generations")
        models = self.api.root.add_resource("models")
        for resource, verb in ((generations, "POST"), (models, "GET")):
            method = resource.add_method(verb, integration, api_key_required=True)
            acknowledge(
                method,
                "Callers are the owner's own programs, each holding a key that the usage plan "
                "throttles and caps a day; the key is an identity to meter, and putting an "
                "authorizer in front for other audiences is the owner's choice (README).",
                "AwsSolutions-APIG4",
                "AwsSolutions-COG4",
            )

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

    def _acknowledge(self, stage: apigateway.Stage, *, logs: bool) -> None:
        acknowledge(
            self.api,
            "The front door validates every field and names the wrong one and its range; a model "
            "in the gateway could refuse a body, but not say why.",
            "AwsSolutions-APIG2",
        )
        acknowledge(
            stage,
            "Without a key nothing passes the gateway, and with one no more than the plan's rate "
            "and daily quota; the body is JSON of at most some kilobytes, parsed by field. A web "
            "ACL costs by the month and is the owner's to attach.",
            "AwsSolutions-APIG3",
        )
        if not logs:
            acknowledge(
                stage,
                "The gateway logs under a role that is the account's, for all its APIs: setting or "
                "needing it is the owner's choice (sd.api.gateway_logs). The front door logs each "
                "request that passes, with the key's id; the stage's metrics count the refused.",
                "AwsSolutions-APIG1",
                "AwsSolutions-APIG6",
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
