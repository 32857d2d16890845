"""The generator app, where people sign in: its image, its users, its key, and the service that runs
it. It costs by the hour while it is deployed."""

from aws_cdk import CfnOutput, Environment, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.api_stack import ApiStack
from stacks.components.app_image import AppImage
from stacks.components.app_users import AppUsers
from stacks.components.express_service import ExpressService
from stacks.settings import Settings
from stacks.storage_stack import StorageStack


class AppStack(Stack):
    """Of the rest it needs the API's address and a key: it is a caller like others."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        api: ApiStack,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        image = AppImage(self, "Image", settings=settings, storage=storage.kept)
        users = AppUsers(self, "Users", names=settings.names)
        key = self._api_key(api)
        service = ExpressService(
            self,
            "Service",
            image=image,
            days=settings.api.log_days,
            subnets=settings.app.subnets,
            environment={
                "SD_APP_API_URL": api.url,
                "SD_APP_OIDC_USER_POOL": users.pool.user_pool_id,
            },
            secrets={"SD_APP_API_KEY": key},
        )
        users.look_up_client(service.task_role)
        users.let_in(service.url)
        CfnOutput(self, "AppUrl", value=service.url)
        CfnOutput(self, "UserPool", value=users.pool.user_pool_id)

    def _api_key(self, api: ApiStack) -> secretsmanager.Secret:
        """One of the app's own, so that its use is counted and capped by itself."""
        secret = secretsmanager.Secret(
            self,
            "ApiKey",
            description="The generator app's key to the API",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                exclude_punctuation=True, password_length=40
            ),
        )
        acknowledge(
            secret,
            "API Gateway holds the same value, and takes no other for a key that is there: a new "
            "one is a new key, by a deploy with the secret's id changed.",
            "AwsSolutions-SMG4",
        )
        acknowledge(
            secret,
            "Encrypted with Secrets Manager's own key: with one of the account's, whoever may use "
            "that for the models could read it too.",
            "CKV_AWS_149",
        )
        # By a reference that CloudFormation resolves: no template and no event has the value.
        value = secret.secret_value.unsafe_unwrap()
        key = apigateway.CfnApiKey(self, "Key", enabled=True, value=value)
        apigateway.CfnUsagePlanKey(
            self, "KeyOfPlan", key_id=key.ref, key_type="API_KEY", usage_plan_id=api.plan_id
        )
        return secret
