"""The five functions of lambda/batches: who calls each, and what each may do."""

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sd_contract.limits import GATEWAY_S
from stacks.acknowledge import acknowledge
from stacks.api_stack import ApiStack
from stacks.components.alarms import Alarm, Metric, Trouble, alarm_of_letters
from stacks.components.artifacts import BatchExchange
from stacks.components.content_credentials import may_sign
from stacks.components.grants import grant, grant_listing, grant_named, grant_objects
from stacks.components.inference_api import STAGE
from stacks.components.python_function import PythonFunction
from stacks.components.queue import Queue
from stacks.settings import Settings

TABLE = ("GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
FOLDERS = ("batches/", "files/")
# A unit is tried so often before it is given up; throttling sends it back too.
TRIES = 20
VISIBLE_AFTER_S = 30
# EventBridge's own most, and a day of them.
RETRIES = 185


class BatchFunctions(Construct):
    """All have the same code and environment, and a role each.

    `api` answers requests; `checker` checks a batch, starts its engine, stops and finishes it;
    `worker` draws by real-time endpoints what the queue holds; `answered` and `ended` hear of
    asynchronous endpoints' answers and of training jobs' ends. What couldn't be handled waits in a
    dead-letter queue, with an alarm.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        bucket: s3.Bucket,
        table: dynamodb.Table,
        api: ApiStack,
        bulk_role: iam.Role,
    ) -> None:
        super().__init__(scope, id)
        self._settings, self._bucket, self._table = settings, bucket, table
        names, worker_s = settings.names, settings.batch.worker_timeout_s
        # Longer than the worker takes: what it dies with comes back after that.
        self._visibility = Duration.seconds(worker_s + VISIBLE_AFTER_S)
        self._lost = self._dead_letters(
            "Lost",
            Trouble(
                f"{names.prefix}: an event of a batch could not be handled, so the batch may stand "
                "still",
                (
                    "Receive the message from the queue in this alarm's dimension: it is the event",
                    "Read the log of the function that it was for, at the message's time",
                    "Mend that and send the event again (aws lambda invoke), or cancel the batch "
                    "and send it again; then delete the message",
                ),
            ),
            "ApproximateNumberOfMessagesVisible",
        )
        # The worker takes them out again, so they are seen in passing alone.
        dead_units = self._dead_letters(
            "DeadUnits",
            Trouble(
                f"{names.prefix}: a picture of a batch was given up",
                (
                    "The batch's error file has its line and what happened",
                    "Read the worker's log at that time: what it was tried at, 20 times",
                    "If the endpoint was away or throttled, send the lines of the error file again",
                ),
            ),
            "NumberOfMessagesReceived",
            fifo=True,
        )
        self._queue = Queue(
            self,
            "Units",
            fifo=True,
            visibility_timeout=self._visibility,
            dead_letters=sqs.DeadLetterQueue(queue=dead_units, max_receive_count=TRIES),
        )
        self._checker_name = f"{names.batches}-checker"
        self._environment = self._variables(api)
        self.api = self._function("Api", "api", GATEWAY_S + 1, 1024, names.batches)
        self.checker = self._function("Checker", "checker", 900, 2048, self._checker_name)
        self.worker = self._function("Worker", "worker", worker_s, 512)
        self._let_worker_go_on()
        self.answered = self._function("Answered", "async_results", 60, 512)
        self.ended = self._function("Ended", "job_events", 60, 512)
        self._grant_common()
        self._grant_engines(bulk_role)
        self._read_edits(api)
        if settings.api.c2pa.on:
            for role in (self.worker.role, self.answered.role, bulk_role):
                may_sign(role, api.pictures, names.signer)
        self._feed(dead_units)
        self._hear_of_jobs()

    def answer(self, api: ApiStack) -> None:
        """Requests of that API, which finds the function by its name."""
        lambda_.CfnPermission(
            self,
            "Gateway",
            action="lambda:InvokeFunction",
            function_name=self.api.function.function_name,
            principal="apigateway.amazonaws.com",
            source_arn=api.api.arn_for_execute_api("*", "/*", STAGE),
        )

    def hear_of_answers(self, exchange: BatchExchange) -> None:
        # Of an answer that isn't there, or not any more, S3 is to say so.
        grant_listing(self.answered.role, exchange.bucket, exchange.outputs)
        for topic in (exchange.success, exchange.error):
            topic.add_subscription(
                subscriptions.LambdaSubscription(
                    self.answered.function, dead_letter_queue=self._lost
                )
            )

    def _hear_of_jobs(self) -> None:
        """The end of every training job of batches. A failure has a rule of its own, which
        EventBridge counts."""
        self._hear_of("JobEnded", "Completed", "Stopped")
        failed = self._hear_of("JobFailed", "Failed")
        Alarm(
            self,
            "JobFailedAlarm",
            names=self._settings.names,
            trouble=Trouble(
                f"{self._settings.names.prefix}: a batch's training job has failed",
                (
                    "aws sagemaker list-training-jobs --status-equals Failed --name-contains "
                    f"{self._settings.names.bulk_jobs} and describe-training-job: FailureReason",
                    "Read its log in /aws/sagemaker/TrainingJobs, a stream that begins with its "
                    "name",
                    "It is tried three times by itself. If the last one fails as well, mend what "
                    "the log says and send the lines of the batch's error file again",
                ),
            ),
            # With the rule's name alone, of the default bus (EventBridge's guide, eb-monitoring).
            metric=Metric("AWS/Events", "TriggeredRules", {"RuleName": failed.rule_name}),
            threshold=1,
            period_s=300,
        )

    def _hear_of(self, id: str, *statuses: str) -> events.Rule:
        return events.Rule(
            self,
            id,
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Training Job State Change"],
                detail={
                    "TrainingJobName": [{"prefix": self._settings.names.bulk_jobs}],
                    "TrainingJobStatus": list(statuses),
                },
            ),
            targets=[
                targets.LambdaFunction(
                    self.ended.function,
                    dead_letter_queue=self._lost,
                    max_event_age=Duration.hours(24),
                    retry_attempts=RETRIES,
                )
            ],
        )

    def _function(
        self, id: str, module: str, timeout_s: int, memory_mb: int, name: str | None = None
    ) -> PythonFunction:
        api = self._settings.api
        return PythonFunction(
            self,
            id,
            package="batches",
            handler=f"{module}.handler.handler",
            name=name,
            uses=["front_door", "sd_contract"],
            timeout=Duration.seconds(timeout_s),
            memory_mb=memory_mb,
            log_days=api.log_days,
            tracing=api.tracing,
            environment=self._environment,
            # Of what is called and not waited for.
            dead_letters=self._lost if id in ("Checker", "Answered", "Ended") else None,
            no_dead_letters="The gateway waits for its answer, or the queue hands a message out "
            "again and puts it among its own dead letters.",
        )

    def _let_worker_go_on(self) -> None:
        """A batch's part is handed out by a unit of the part before, so each is two more calls of
        the worker in one chain. Lambda ends such a chain with some sixteen, and the queue gives up
        what comes after (Lambda's guide, invocation-recursion). This one ends with its parts."""
        worker = self.worker.function.node.default_child
        assert isinstance(worker, lambda_.CfnFunction)
        worker.recursive_loop = "Allow"

    def _variables(self, api: ApiStack) -> dict[str, str]:
        """lambda/batches/config.py."""
        told, batch, names = self._settings.api, self._settings.batch, self._settings.names
        return {
            "SD_VARIANT_PREFIX": names.registrations,
            "SD_FLEET_PREFIX": names.fleets,
            "SD_DEFAULT_MODEL": told.default_model,
            "SD_PICTURE_BUCKET": api.pictures.bucket_name,
            "SD_BATCH_BUCKET": self._bucket.bucket_name,
            "SD_BATCH_TABLE": self._table.table_name,
            "SD_BATCH_QUEUE_URL": self._queue.queue_url,
            "SD_BATCH_CHECKER": self._checker_name,
            "SD_BATCH_EVENT_SOURCE": names.event_source,
            "SD_BATCH_JOB_PREFIX": names.bulk_jobs,
            "SD_BATCH_RESULT_DAYS": str(batch.result_days),
            "SD_BATCH_BULK_PICTURES": str(batch.bulk_pictures),
            "SD_BATCH_REAL_TIME_SHARE": str(batch.real_time_share),
            "SD_URL_TTL_S": str(told.url_ttl_s),
            "SD_CACHE_TTL_S": str(told.cache_ttl_s),
            "SD_EMBED_PROMPT": str(told.embed_prompt).lower(),
            "SD_CORS_ORIGINS": ",".join(told.cors_origins or ()),
            **({"SD_SIGNING_FUNCTION": names.signer} if told.c2pa.on else {}),
        }

    def _dead_letters(self, id: str, trouble: Trouble, metric: str, *, fifo: bool = False) -> Queue:
        queue = Queue(self, id, fifo=fifo, visibility_timeout=self._visibility)
        alarm_of_letters(queue, self._settings.names, trouble, metric)
        return queue

    def _feed(self, dead_units: Queue) -> None:
        """One unit at a time: a picture takes seconds, and each is answered for alone."""
        for queue in (self._queue, dead_units):
            self.worker.function.add_event_source(
                sources.SqsEventSource(queue, batch_size=1, report_batch_item_failures=True)
            )
        acknowledge(
            self.worker.function,
            "A destination is for streams (botocore's lambda model, DestinationConfig); what a "
            "queue's consumer fails at goes to the queue's dead letters.",
            "Serverless-LambdaEventSourceMappingDestination",
        )

    def _grant_common(self) -> None:
        checker = Stack.of(self).format_arn(
            service="lambda",
            resource="function",
            resource_name=self._checker_name,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        for each in (self.api, self.checker, self.worker, self.answered, self.ended):
            grant(each.role, [f"dynamodb:{call}" for call in TABLE], self._table.table_arn)
            # By its name: the checker may ask itself, and its role comes before it.
            grant(each.role, ["lambda:InvokeFunction"], checker)
        for each in (self.checker, self.worker, self.answered, self.ended):
            grant(each.role, ["sqs:SendMessage"], self._queue.queue_arn)
        for each in (self.api, self.checker, self.answered):
            self._grant_objects(each, "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
        self._grant_objects(self.worker, "s3:GetObject", "s3:PutObject")

    def _grant_objects(self, function: PythonFunction, *actions: str) -> None:
        why = "files, work, pictures and results are named by batch, line and seed"
        grant_objects(function.role, self._bucket, "", actions, why=why)
        for folder in FOLDERS:
            grant_listing(function.role, self._bucket, folder)

    def _grant_engines(self, bulk_role: iam.IRole) -> None:
        here, names = Stack.of(self), self._settings.names
        parameters = [
            here.format_arn(service="ssm", resource="parameter", resource_name=path.lstrip("/"))
            for path in (names.registrations, names.fleets)
        ]
        for each in (self.checker, self.worker):
            grant(each.role, ["ssm:GetParametersByPath"], *parameters)
        endpoints = "variants come and go by their own stacks; the prefix is this copy of the app's"
        grant_named(
            self.worker.role,
            ["sagemaker:InvokeEndpoint"],
            f"endpoint/{names.endpoints}",
            but=f"endpoint/{names.others_endpoints}",
            why=endpoints,
        )
        grant_named(
            self.worker.role,
            ["sagemaker:InvokeEndpointAsync"],
            f"endpoint/{names.async_endpoints}",
            but=f"endpoint/{names.others_async_endpoints}",
            why=endpoints,
        )
        for each, calls in (
            (self.checker, ("Describe", "Stop")),
            (self.worker, ("Create", "Describe", "Stop")),
            (self.ended, ("Describe", "Stop")),
        ):
            grant_named(
                each.role,
                [f"sagemaker:{call}TrainingJob" for call in calls],
                f"training-job/{names.bulk_job}",
                why="jobs are named by batch and try; the prefix is this copy of the app's",
            )
        to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        grant(self.worker.role, ["iam:PassRole"], bulk_role.role_arn, conditions=to_sagemaker)
        bus = here.format_arn(service="events", resource="event-bus", resource_name="default")
        ours = {"StringEquals": {"events:source": names.event_source}}
        grant(self.checker.role, ["events:PutEvents"], bus, conditions=ours)

    def _read_edits(self, api: ApiStack) -> None:
        """A line may name a picture that the front door has made."""
        why = "pictures are named by date and request; the bucket holds nothing else"
        grant_objects(self.checker.role, api.pictures, "", ["s3:GetObject"], why=why)
