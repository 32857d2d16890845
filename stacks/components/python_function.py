"""A Lambda function from one package of lambda/, with a role of its own that holds no managed
policy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from aws_cdk import Duration, SymlinkFollowMode
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.components.grants import grant_log_writes
from stacks.components.log_group import LogGroup
from stacks.content import files_below, staged
from stacks.settings import ROOT

RUNTIME = lambda_.Runtime.PYTHON_3_14
ARCHITECTURE = lambda_.Architecture.ARM_64
NO_FILES: Mapping[str, Path] = MappingProxyType({})

# Each a reason and the rules it answers.
NO_CONCURRENCY = (
    "What is reserved for one function is taken from all others of the account, and a young "
    "account, which may run ten at a time, refuses any reservation (Lambda's guide, "
    "configuration-concurrency). Callers are throttled by key, workers by the queue's groups.",
    "CKV_AWS_115",
)
NO_NETWORK = (
    "It calls AWS's services alone, over TLS and by its own role; from a network of one's own "
    "each of them would need an endpoint that costs by the hour.",
    "CKV_AWS_117",
)
PLAIN_VARIABLES = (
    "Names and numbers, no secrets; Lambda encrypts them with its own key.",
    "CKV_AWS_173",
)
NO_TRACING = (
    "X-Ray is for what serves requests, and its owner's choice (sd.api.tracing): each line of the "
    "log has the times, and the id that joins it to others.",
    "Serverless-LambdaTracing",
)


class PythonFunction(Construct):
    """`package` is a folder of lambda/, and `handler` in it a module's function of event and
    context; `uses` are others, there or in model_assets/, that it imports; `files` go beside them,
    by their places there, and `layers` hold packages. `name` is for a function that is found by its
    name.

    It may write its own log; everything else is granted to `role`. `dead_letters` gets the events
    of asynchronous calls that failed three times, or `no_dead_letters` says why none can be lost.
    `tracing` is X-Ray's, which it may write to.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        package: str,
        handler: str = "handler.handler",
        name: str | None = None,
        timeout: Duration,
        memory_mb: int,
        log_days: int,
        uses: Sequence[str] = (),
        files: Mapping[str, Path] = NO_FILES,
        layers: Sequence[lambda_.ILayerVersion] = (),
        environment: dict[str, str] | None = None,
        dead_letters: sqs.IQueue | None = None,
        no_dead_letters: str = "",
        tracing: bool = False,
    ) -> None:
        super().__init__(scope, id)
        log_group = LogGroup(self, "Log", days=log_days)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        grant_log_writes(self.role, log_group)
        code = {
            place: path
            for name in (package, *uses)
            for place, path in files_below(_source(name), f"{name}/").items()
        }
        with staged({**code, **files}) as folder:
            self.function = lambda_.Function(
                self,
                "Function",
                code=lambda_.Code.from_asset(str(folder), follow_symlinks=SymlinkFollowMode.ALWAYS),
                function_name=name,
                handler=f"{package}.{handler}",
                runtime=RUNTIME,
                architecture=ARCHITECTURE,
                layers=layers or None,
                timeout=timeout,
                memory_size=memory_mb,
                role=self.role,
                log_group=log_group,
                environment=environment,
                dead_letter_queue=dead_letters,
                tracing=lambda_.Tracing.ACTIVE if tracing else None,
            )
        acknowledge(self.function, *NO_CONCURRENCY)
        acknowledge(self.function, *NO_NETWORK)
        acknowledge(self.function, *PLAIN_VARIABLES)
        if no_dead_letters and not dead_letters:
            acknowledge(self.function, no_dead_letters, "Serverless-LambdaDLQ", "CKV_AWS_116")
        if not tracing:
            acknowledge(self.function, *NO_TRACING)
        else:
            # CDK has granted it.
            acknowledge(
                self.role,
                "X-Ray's two writing actions have no resource types (Service Authorization "
                "Reference, AWS X-Ray).",
                "AwsSolutions-IAM5[Resource::*]",
            )


def _source(package: str) -> Path:
    own = ROOT / "lambda" / package
    return own if own.is_dir() else ROOT / "model_assets" / package
