"""A Lambda function from one package of lambda/, with a role of its own that holds no managed
policy."""

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import Duration, SymlinkFollowMode
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.components.grants import grant_log_writes
from stacks.components.log_group import LogGroup
from stacks.content import files_below, staged
from stacks.settings import ROOT


class PythonFunction(Construct):
    """`package` is a folder of lambda/ whose handler.py has `handler(event, context)`; `uses` are
    others, there or in model_assets/, that it imports.

    It may write its own log; everything else is granted to `role`. `dead_letters` gets the events
    of asynchronous calls that failed three times.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        package: str,
        timeout: Duration,
        memory_mb: int,
        log_days: int,
        uses: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        dead_letters: sqs.IQueue | None = None,
    ) -> None:
        super().__init__(scope, id)
        log_group = LogGroup(self, "Log", days=log_days)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        grant_log_writes(self.role, log_group)
        files = {
            place: path
            for name in (package, *uses)
            for place, path in files_below(_source(name), f"{name}/").items()
        }
        with staged(files) as folder:
            self.function = lambda_.Function(
                self,
                "Function",
                code=lambda_.Code.from_asset(str(folder), follow_symlinks=SymlinkFollowMode.ALWAYS),
                handler=f"{package}.handler.handler",
                runtime=lambda_.Runtime.PYTHON_3_14,
                architecture=lambda_.Architecture.ARM_64,
                timeout=timeout,
                memory_size=memory_mb,
                role=self.role,
                log_group=log_group,
                environment=environment,
                dead_letter_queue=dead_letters,
            )


def _source(package: str) -> Path:
    own = ROOT / "lambda" / package
    return own if own.is_dir() else ROOT / "model_assets" / package
