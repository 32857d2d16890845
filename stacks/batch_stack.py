"""Batches: files, state, queue, and the functions that check, feed the engines and finish. Nothing
of it costs while no batch runs."""

from aws_cdk import Environment, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from sd_contract.registration import ASYNC
from stacks.acknowledge import acknowledge
from stacks.api_stack import ApiStack
from stacks.components.artifacts import BatchExchange
from stacks.components.batch_functions import BatchFunctions
from stacks.components.bulk_role import BulkRole
from stacks.components.expiring_bucket import expiring_bucket
from stacks.components.log_group import LogGroup
from stacks.components.network import Network
from stacks.settings import Settings
from stacks.storage_stack import StorageStack

BATCHES, ANSWERS = "batches/", "async/"
"""Folders of the bucket: what batches read and write (sd_contract.batch), and what asynchronous
endpoints answer."""


class BatchStack(Stack):
    """Exposes `exchange` and `bulk_role`, for the variants.

    It exports the same whatever they are: what a variant that was dropped from the setting, or has
    fewer engines than it had, still uses can't be taken away.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        api: ApiStack,
        network: Network | None = None,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        bucket = self._bucket(settings)
        table = self._table()
        self.bulk_role = BulkRole(
            self,
            "BulkJob",
            names=settings.names,
            storage=storage,
            bucket=bucket,
            folder=BATCHES,
            network=network,
        ).role
        functions = BatchFunctions(
            self,
            "Functions",
            settings=settings,
            bucket=bucket,
            table=table,
            api=api,
            bulk_role=self.bulk_role,
        )
        success, error = (
            sns.Topic(self, name, enforce_ssl=True) for name in ("Answered", "Failed")
        )
        for topic in (success, error):
            acknowledge(
                topic,
                "What passes says where in S3 an answer lies, and no more; with a key of the "
                "account each variant's role that writes here would need it too.",
                "CKV_AWS_26",
            )
        self.exchange = BatchExchange(bucket, BATCHES, ANSWERS, success, error)
        functions.hear_of_answers(self.exchange)
        functions.answer(api)
        for variant in settings.variants:
            if ASYNC in variant.serve:
                LogGroup(
                    self,
                    f"{variant.title}Containers",
                    days=settings.api.log_days,
                    name=settings.names.async_container_log(variant.name),
                )
        for value in (
            bucket.bucket_name,
            bucket.bucket_arn,
            success.topic_arn,
            error.topic_arn,
            self.bulk_role.role_arn,
        ):
            self.export_value(value)

    def _bucket(self, settings: Settings) -> s3.Bucket:
        return expiring_bucket(
            self,
            "Files",
            days=settings.batch.result_days,
            unlogged="Only the batches' functions and jobs write here, and their log says for "
            "which batch; callers come by presigned URLs, to objects that expire by rule.",
            cors=_cors(settings.api.cors_origins),
        )

    def _table(self) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Batches",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(
            table,
            "State of batches, which expires with their results within days; what a batch has made "
            "lies in S3, and its results can be counted again from there.",
            "AwsSolutions-DDB3",
            "CKV_AWS_28",
        )
        acknowledge(
            table,
            "Encrypted with DynamoDB's own key: counts, times and names of objects, no prompts.",
            "CKV_AWS_119",
        )
        return table


def _cors(origins: tuple[str, ...] | None) -> list[s3.CorsRule] | None:
    """A page may put a file where `upload_url` says, and follow the API to one that is too large
    for an answer. It comes there as from "null", since another origin has sent it on (Fetch
    standard, HTTP-redirect fetch); what lets it in is the link."""
    if not origins:
        return None
    put, get = s3.HttpMethods.PUT, s3.HttpMethods.GET
    return [
        s3.CorsRule(allowed_methods=[method], allowed_origins=list(from_), allowed_headers=["*"])
        for method, from_ in ((put, origins), (get, ("*",)))
    ]
