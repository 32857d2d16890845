"""The public side: REST API, front door, and the bucket its pictures wait in."""

from urllib.parse import quote

from aws_cdk import ArnFormat, CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from sd_contract.limits import GATEWAY_S
from stacks.components.api_alarms import ApiAlarms
from stacks.components.budget import Budget
from stacks.components.content_credentials import ContentCredentials
from stacks.components.expiring_bucket import expiring_bucket
from stacks.components.grants import grant, grant_named, grant_objects
from stacks.components.inference_api import InferenceApi
from stacks.components.log_group import LogGroup
from stacks.components.python_function import PythonFunction
from stacks.settings import Names, Settings
from stacks.storage_stack import StorageStack


class ApiStack(Stack):
    """Exposes `url`; `plan_id`, of the usage plan, for whoever brings a key of its own; and `api`
    and `pictures`, its bucket, for the batches, which come after it.

    It knows no variant: they register themselves. All it has of them is what SageMaker finds by
    their names: log groups.
    """

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        api = settings.api
        pictures = expiring_bucket(
            self,
            "Images",
            days=api.image_days,
            unlogged="Only the front door writes here, and logs each request with its id; reads go "
            "by presigned URLs that end with the setting url_ttl_s, of objects that expire by "
            "rule.",
        )
        front_door = PythonFunction(
            self,
            "FrontDoor",
            package="front_door",
            uses=["sd_contract"],
            # A second past the gateway's limit, so that ours is the answer that gives up.
            timeout=Duration.seconds(GATEWAY_S + 1),
            memory_mb=1024,
            log_days=api.log_days,
            tracing=api.tracing,
            no_dead_letters="The gateway waits for its answer.",
            environment={
                "SD_VARIANT_PREFIX": settings.names.registrations,
                "SD_DEFAULT_MODEL": api.default_model,
                "SD_PICTURE_BUCKET": pictures.bucket_name,
                "SD_URL_TTL_S": str(api.url_ttl_s),
                "SD_GATEWAY_TIMEOUT_S": str(GATEWAY_S),
                "SD_CACHE_TTL_S": str(api.cache_ttl_s),
                "SD_MAX_BODY_BYTES": str(api.max_body_bytes),
                "SD_MAX_EDIT_BYTES": str(api.max_edit_bytes),
                "SD_CORS_ORIGINS": ",".join(api.cors_origins or ()),
                "SD_LOG_PROMPTS": str(api.log_prompts).lower(),
                "SD_EMBED_PROMPT": str(api.embed_prompt).lower(),
                "SD_METRICS_NAMESPACE": settings.names.prefix,
            },
        )
        self._grant(front_door.role, settings.names, pictures)
        if settings.gallery.enabled:
            self._reach_gallery(front_door, settings)
        if settings.budget.usd_per_month is not None:
            Budget(self, "Budget", settings=settings.budget)
        if api.c2pa.on:
            ContentCredentials(
                self,
                "ContentCredentials",
                name=settings.names.signer,
                settings=api,
                pictures=pictures,
                storage=storage.kept,
            ).sign_for(front_door)
        inference = InferenceApi(
            self,
            "Inference",
            name=settings.names.prefix,
            front_door=front_door.function,
            batches=self._batches(settings) if settings.batch.enabled else None,
            settings=api,
        )
        ApiAlarms(
            self, "Alarms", names=settings.names, front_door=front_door.function, api=inference
        )
        self.api, self.pictures = inference.api, pictures
        # With batches and without: what their stack still uses can't be taken away.
        for value in (
            pictures.bucket_name,
            pictures.bucket_arn,
            inference.api.rest_api_id,
            inference.api.deployment_stage.stage_name,
            inference.plan_id,
        ):
            self.export_value(value)
        self.url, self.plan_id = inference.url, inference.plan_id
        # Of every variant there can be: a destroyed one's log stays for its days, and so does that
        # of one whose first deploy fails, which is the only place that tells why.
        for variant in settings.variant_names:
            title, group = variant.capitalize(), settings.names.container_log(variant)
            LogGroup(self, f"{title}Containers", days=api.log_days, name=group)
            link = _console_link(settings.region, group)
            CfnOutput(self, f"ContainerLog{title}", value=link)
        CfnOutput(self, "ApiUrl", value=self.url)
        CfnOutput(self, "ApiKeyId", value=inference.key_id)
        CfnOutput(self, "ImageBucket", value=pictures.bucket_name)

    def _reach_gallery(self, front_door: PythonFunction, settings: Settings) -> None:
        """By its names: its stack depends on this one, and may not be there. What is asked of it
        passes through the front door, which then says so."""
        name = settings.names.gallery
        queue = self.format_arn(service="sqs", resource=name)
        function = self._function_arn(name)
        grant(front_door.role, ["sqs:SendMessage"], queue)
        grant(front_door.role, ["lambda:InvokeFunction"], function)
        for variable, value in (
            (
                "SD_GALLERY_QUEUE_URL",
                f"https://sqs.{self.region}.{self.url_suffix}/{self.account}/{name}",
            ),
            ("SD_GALLERY_FUNCTION", name),
            ("SD_STORE", str(settings.gallery.store).lower()),
        ):
            front_door.function.add_environment(variable, value)

    def _batches(self, settings: Settings) -> lambda_.IFunction:
        """Found by its name: its stack depends on this one, and lets the gateway call it."""
        arn = self._function_arn(settings.names.batches)
        return lambda_.Function.from_function_attributes(
            self, "Batches", function_arn=arn, skip_permissions=True
        )

    def _function_arn(self, name: str) -> str:
        return self.format_arn(
            service="lambda",
            resource="function",
            resource_name=name,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    def _grant(self, role: iam.Role, names: Names, pictures: s3.Bucket) -> None:
        folder = self.format_arn(
            service="ssm", resource="parameter", resource_name=names.registrations.lstrip("/")
        )
        grant_named(
            role,
            ["sagemaker:InvokeEndpoint"],
            f"endpoint/{names.endpoints}",
            but=f"endpoint/{names.others_endpoints}",
            why="variants come and go by their own stacks; one that is dropped from the settings "
            "must answer until it is destroyed, and the prefix is this copy of the app's own",
        )
        grant(role, ["ssm:GetParametersByPath"], folder)
        grant_objects(
            role,
            pictures,
            "",
            # GetObject is what a presigned URL is good for, and reads what is edited.
            ["s3:PutObject", "s3:GetObject"],
            why="pictures are named by date and request; the bucket holds nothing else",
        )


def _console_link(region: str, log_group: str) -> str:
    # The console's own spelling: percent-encoded twice, with "$" for "%".
    escaped = quote(quote(log_group, safe=""), safe="").replace("%", "$")
    console = "console.amazonaws.cn" if region.startswith("cn-") else "console.aws.amazon.com"
    place = f"{region}.{console}/cloudwatch/home?region={region}"
    return f"https://{place}#logsV2:log-groups/log-group/{escaped}"
