"""The gallery: kept pictures, their parameters, and their prompts' vectors in Amazon S3 Vectors."""

from aws_cdk import CfnOutput, Duration, Environment, Fn, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3vectors as s3vectors
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sd_contract.gallery import index_name
from sd_contract.limits import GATEWAY_S, INVOCATION_S
from stacks.acknowledge import acknowledge
from stacks.api_stack import ApiStack
from stacks.artifacts_stack import ArtifactsStack
from stacks.components.alarms import Trouble, alarm_of_letters
from stacks.components.expiring_bucket import expiring_bucket
from stacks.components.grants import grant, grant_named, grant_objects
from stacks.components.python_function import PythonFunction
from stacks.components.queue import Queue
from stacks.settings import Settings

# Copying, and a vector behind pictures that are drawn first.
WORKER_S = INVOCATION_S + 30
# With Lambda's advice for a queue's visibility, six times as long as its function has (its guide,
# with-sqs), that is an hour and a half: a stopped endpoint may be back by then.
TRIES = 10
# The least that SQS's event source takes (Lambda's API reference, ScalingConfig). The endpoint is
# for pictures, and an account may run ten functions at a time.
AT_ONCE = 2


class GalleryStack(Stack):
    """After the API's, which finds its queue and its function by their name. Nothing in it costs by
    the hour; what is kept in it does (docs/operations.md)."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        artifacts: ArtifactsStack,
        api: ApiStack,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        self._settings, self._pictures = settings, api.pictures
        self._bucket = expiring_bucket(
            self,
            "Pictures",
            days=settings.gallery.picture_days,
            unlogged="Only the gallery's worker writes here, and logs each picture by its id; "
            "reads go by presigned URLs that end with the setting url_ttl_s.",
        )
        self._table = self._make_table()
        vectors = s3vectors.CfnVectorBucket(self, "Vectors")
        # Of arn:…:bucket/<name>, which is all that CloudFormation says of it.
        self._vector_bucket = Fn.select(1, Fn.split("/", vectors.attr_vector_bucket_arn))
        self._indexes = self._make_indexes(vectors, artifacts)
        unkept, unremoved = self._dead_letters()
        self._worker_queue = Queue(
            self,
            "Kept",
            name=settings.names.gallery,
            visibility_timeout=Duration.seconds(6 * WORKER_S),
            dead_letters=sqs.DeadLetterQueue(queue=unkept, max_receive_count=TRIES),
        )
        self._worker()
        self._removals(unremoved)
        self._api()
        CfnOutput(self, "GalleryBucket", value=self._bucket.bucket_name)
        CfnOutput(self, "GalleryTable", value=self._table.table_name)
        CfnOutput(self, "VectorBucket", value=self._vector_bucket)

    def _make_table(self) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            stream=dynamodb.StreamViewType.OLD_IMAGE,
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(
            table,
            "What is in it expires within days, by a setting; what a picture was drawn by is in "
            "its file as well, which outlives the stack until it expires.",
            "AwsSolutions-DDB3",
            "CKV_AWS_28",
        )
        acknowledge(
            table,
            "Encrypted with DynamoDB's own key, as the pictures with S3's: prompts that their "
            "callers asked to keep, and who may read the account's table may read its bucket.",
            "CKV_AWS_119",
        )
        return table

    def _make_indexes(
        self, vectors: s3vectors.CfnVectorBucket, artifacts: ArtifactsStack
    ) -> list[str]:
        """The ARNs of one a model. Its name is what the front door makes of a registration."""
        found: dict[str, s3vectors.CfnIndex] = {}
        for name, served in artifacts.weights.items():
            model = self._settings.models[name]
            index = index_name(model.id, served.revision)
            if index not in found:
                found[index] = s3vectors.CfnIndex(
                    self,
                    f"Index{''.join(part.capitalize() for part in name.split('-'))}",
                    vector_bucket_arn=vectors.attr_vector_bucket_arn,
                    index_name=index,
                    data_type="float32",
                    dimension=model.text_dimensions,
                    distance_metric="cosine",
                )
        return [index.attr_index_arn for index in found.values()]

    def _dead_letters(self) -> tuple[Queue, Queue]:
        names, days = self._settings.names, self._settings.api.image_days
        unkept = Queue(self, "Unkept")
        alarm_of_letters(
            unkept,
            names,
            Trouble(
                f"{names.prefix}: a picture could not be kept in the gallery",
                (
                    "Receive the message from the queue in this alarm's dimension: model and "
                    "pictures",
                    "Read the worker's log at that time; mostly no endpoint of the model's was in "
                    "service to make the prompt's vector",
                    f"Start it and redrive the queue (aws sqs start-message-move-task) within "
                    f"{days} days of the request, while the front door has the picture; or purge "
                    "it",
                ),
            ),
        )
        unremoved = Queue(self, "Unremoved")
        alarm_of_letters(
            unremoved,
            names,
            Trouble(
                f"{names.prefix}: what a picture's row leaves in the gallery could not be removed",
                (
                    "Receive the message from the queue in this alarm's dimension: it names the "
                    "stream's records",
                    "Read the log of the removals' function at that time",
                    "It is found by nobody, as its time is over or its row gone, and its file "
                    "expires by rule: delete what is left of the vectors (aws s3vectors "
                    "delete-vectors), then the message",
                ),
            ),
        )
        return unkept, unremoved

    def _worker(self) -> None:
        worker = self._function("Worker", "worker", WORKER_S, "GetItem", "PutItem", "DeleteItem")
        worker.function.add_event_source(
            sources.SqsEventSource(
                self._worker_queue,
                batch_size=1,
                max_concurrency=AT_ONCE,
                report_batch_item_failures=True,
            )
        )
        acknowledge(
            worker.function,
            "A destination is for streams (botocore's lambda model, DestinationConfig); what a "
            "queue's consumer fails at goes to the queue's dead letters.",
            "Serverless-LambdaEventSourceMappingDestination",
        )
        grant_objects(
            worker.role,
            self._pictures,
            "",
            ["s3:GetObject"],
            why="pictures are named by date and request; the bucket holds nothing else",
        )
        self._grant_files(worker, "s3:PutObject", "s3:DeleteObject")
        self._grant_vectors(worker, "PutVectors", "DeleteVectors")
        self._grant_encoding(worker)

    def _removals(self, lost: Queue) -> None:
        """Of pictures, not of marks: those have no file and no vector."""
        removals = self._function("Removals", "removals", 60)
        gone = {"pk": {"S": lambda_.FilterRule.is_equal("picture")}}
        removals.function.add_event_source(
            sources.DynamoEventSource(
                self._table,
                starting_position=lambda_.StartingPosition.TRIM_HORIZON,
                filters=[
                    lambda_.FilterCriteria.filter(
                        {
                            "eventName": lambda_.FilterRule.is_equal("REMOVE"),
                            "dynamodb": {"Keys": gone},
                        }
                    )
                ],
                batch_size=25,
                bisect_batch_on_error=True,
                # A stream keeps a record for a day.
                max_record_age=Duration.hours(24),
                on_failure=sources.SqsDlq(lost),
            )
        )
        acknowledge(
            removals.role,
            "dynamodb:ListStreams, which Lambda asks for and CDK grants, has no resource types "
            "(Service Authorization Reference, Amazon DynamoDB): it lists names.",
            "AwsSolutions-IAM5[Resource::*]",
        )
        self._grant_files(removals, "s3:DeleteObject")
        self._grant_vectors(removals, "DeleteVectors")

    def _api(self) -> None:
        name = self._settings.names.gallery
        calls = ("GetItem", "BatchGetItem", "Query", "PutItem", "DeleteItem")
        api = self._function("Api", "api", GATEWAY_S - 1, *calls, name=name)
        # GetObject is what a presigned URL is good for.
        self._grant_files(api, "s3:GetObject", "s3:DeleteObject")
        # A query with a filter needs GetVectors besides (S3 Vectors' API reference, QueryVectors).
        self._grant_vectors(api, "QueryVectors", "GetVectors", "DeleteVectors")
        self._grant_encoding(api)

    def _function(
        self, id: str, module: str, timeout_s: int, *calls: str, name: str | None = None
    ) -> PythonFunction:
        """`calls` of DynamoDB, which it may make on the table."""
        told, gallery = self._settings.api, self._settings.gallery
        function = PythonFunction(
            self,
            id,
            package="gallery",
            handler=f"{module}.handler.handler",
            name=name,
            uses=["front_door", "sd_contract"],
            timeout=Duration.seconds(timeout_s),
            memory_mb=512,
            log_days=told.log_days,
            tracing=told.tracing,
            no_dead_letters="The front door waits for its answer; or the queue or the stream hands "
            "out again what it has failed at, and has dead letters of its own.",
            environment={
                "SD_VARIANT_PREFIX": self._settings.names.registrations,
                "SD_DEFAULT_MODEL": told.default_model,
                "SD_PICTURE_BUCKET": self._pictures.bucket_name,
                "SD_GALLERY_BUCKET": self._bucket.bucket_name,
                "SD_GALLERY_TABLE": self._table.table_name,
                "SD_GALLERY_VECTORS": self._vector_bucket,
                "SD_GALLERY_DAYS": str(gallery.picture_days),
                "SD_URL_TTL_S": str(told.url_ttl_s),
                "SD_CACHE_TTL_S": str(told.cache_ttl_s),
            },
        )
        if calls:
            grant(function.role, [f"dynamodb:{call}" for call in calls], self._table.table_arn)
        return function

    def _grant_files(self, function: PythonFunction, *actions: str) -> None:
        why = "files are named by their pictures' ids; the bucket holds nothing else"
        grant_objects(function.role, self._bucket, "", actions, why=why)

    def _grant_vectors(self, function: PythonFunction, *calls: str) -> None:
        grant(function.role, [f"s3vectors:{call}" for call in calls], *self._indexes)

    def _grant_encoding(self, function: PythonFunction) -> None:
        names = self._settings.names
        folder = self.format_arn(
            service="ssm", resource="parameter", resource_name=names.registrations.lstrip("/")
        )
        grant(function.role, ["ssm:GetParametersByPath"], folder)
        grant_named(
            function.role,
            ["sagemaker:InvokeEndpoint"],
            f"endpoint/{names.endpoints}",
            but=f"endpoint/{names.others_endpoints}",
            why="variants come and go by their own stacks; the prefix is this copy of the app's",
        )
