"""Who may call the API's methods: a key always, and what `sd.api.authorization` asks besides."""

from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.components.python_function import PythonFunction
from stacks.settings import ApiSettings

_NO_USER_POOL = {
    "keys": "Callers are the owner's own programs, each holding a key that the usage plan "
    "throttles and caps a day; OpenAI's clients know keys alone. A user pool in front, for callers "
    "that are people, is the owner's choice (sd.api.authorization).",
    "iam": "Callers sign with IAM credentials of their own, and need a key besides: the owner has "
    "chosen IAM in place of a user pool (sd.api.authorization).",
}


class Callers(Construct):
    """`key_source` is the API's; `method_options` are each method's that goes to the front door;
    `function` reads the key, where it may come in either header."""

    def __init__(self, scope: Construct, id: str, *, settings: ApiSettings) -> None:
        super().__init__(scope, id)
        self._authorization = settings.authorization
        self.function: lambda_.IFunction | None = None
        self.key_source = apigateway.ApiKeySourceType.HEADER
        self.method_options: dict[str, Any] = {"api_key_required": True}
        if settings.authorization == "keys":
            self.key_source = apigateway.ApiKeySourceType.AUTHORIZER
            self.method_options["authorizer"] = self._key_of_either_header(settings)
        elif settings.authorization == "iam":
            self.method_options["authorization_type"] = apigateway.AuthorizationType.IAM
        else:
            arn = settings.cognito_user_pool or ""
            pool = cognito.UserPool.from_user_pool_arn(self, "UserPool", arn)
            self.method_options["authorizer"] = apigateway.CognitoUserPoolsAuthorizer(
                self, "Tokens", authorizer_name="tokens", cognito_user_pools=[pool]
            )

    def acknowledge(self, method: apigateway.Method) -> None:
        if reason := _NO_USER_POOL.get(self._authorization):
            acknowledge(method, reason, "AwsSolutions-COG4")

    def _key_of_either_header(self, settings: ApiSettings) -> apigateway.IAuthorizer:
        function = PythonFunction(
            self,
            "KeyReader",
            package="authorizer",
            timeout=Duration.seconds(5),
            memory_mb=128,
            log_days=settings.log_days,
            no_dead_letters="The gateway waits for its answer.",
        )
        self.function = function.function
        return apigateway.RequestAuthorizer(
            self,
            "Keys",
            authorizer_name="keys",
            handler=function.function,
            # With a cache the gateway itself refuses a request that lacks any of the sources, and
            # callers send one of two headers; without one it asks the function whatever is there
            # (botocore's apigateway model, CreateAuthorizer.identitySource). Any other source would
            # hand one caller's key to another.
            identity_sources=[],
            results_cache_ttl=Duration.seconds(0),
        )
