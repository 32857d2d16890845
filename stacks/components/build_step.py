"""The one way to run CodeBuild inside a deploy.

A custom resource starts the build with the step's content key; a wait condition, whose logical id
carries the key so that a changed key waits anew, holds up what depends on `ready`. The build
signals how it went in its last phase; EventBridge tells the same Lambda of every end of a build,
so that one that is killed or times out is heard of too. Where the output is there already, nothing
is built.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aws_cdk import (
    CfnWaitCondition,
    CfnWaitConditionHandle,
    CustomResource,
    Duration,
    Stack,
    SymlinkFollowMode,
)
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.components.log_group import LogGroup, write_log
from stacks.components.python_function import PythonFunction
from stacks.content import staged
from stacks.settings import ROOT

BUILD_SCRIPTS = ROOT / "stacks" / "builds"
# Amazon Linux 2023 with Docker, Python 3.12 and boto3:
# docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-available.html
STANDARD_IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
# How long a build may wait for a machine, and how long its machine may take to come up.
QUEUED_MIN = 60
PROVISIONING_MIN = 10
MAX_WAIT_S = 43_200  # AWS::CloudFormation::WaitCondition, Timeout


@dataclass(frozen=True)
class S3Output:
    """Done when the object `manifest` is there."""

    bucket: s3.IBucket
    manifest: str


@dataclass(frozen=True)
class EcrOutput:
    """Done when the repository has the tag."""

    repository: ecr.IRepository
    tag: str


@dataclass(frozen=True)
class BuildSpec:
    """What CodeBuild runs.

    `files` are laid out in the source folder, which is the working directory, by their names, and
    the named `scripts` in its stacks/builds/, importable as in the repository. `commands` are lines
    of bash; the first that fails ends the build, its last output being the reason given to
    CloudFormation. They find SD_KEY and `environment` in theirs. An `image` other than the standard
    one is pulled with the step's role.
    """

    commands: Sequence[str]
    timeout: Duration
    scripts: Sequence[str] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    compute: str = "BUILD_GENERAL1_SMALL"
    image: str = STANDARD_IMAGE
    privileged: bool = False

    def to_json(self) -> str:
        lines = [
            f"python3 stacks/builds/run_logged.py {shlex.quote(line)}" for line in self.commands
        ]
        phases: dict[str, object] = {
            "build": {"commands": lines},
            "post_build": {"commands": ["python3 stacks/builds/send_signal.py"]},
        }
        if self.image == STANDARD_IMAGE:
            phases["install"] = {"runtime-versions": {"python": "3.12"}}
        return json.dumps({"version": "0.2", "env": {"shell": "bash"}, "phases": phases})


class BuildStep(Construct):
    """`key` is the content key of the output. Grant what the build needs to `role`, and let
    whatever needs the output depend on `ready`."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        key: str,
        spec: BuildSpec,
        output: S3Output | EcrOutput,
        encryption_key: kms.IKey,
        log_days: int,
    ) -> None:
        super().__init__(scope, id)
        # A failed deploy rolls back; the log it points to has to outlive that.
        log_group = LogGroup(self, "Log", days=log_days, keep=True)
        self.role = iam.Role(
            self, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com")
        )
        source = self._source(spec)
        for statement in (
            write_log(log_group),
            iam.PolicyStatement(
                actions=["s3:GetObject", "s3:GetObjectVersion"],
                resources=[source.bucket.arn_for_objects(source.s3_object_key)],
            ),
            iam.PolicyStatement(
                actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"],
                resources=[encryption_key.key_arn],
            ),
        ):
            self.role.add_to_policy(statement)

        self.project = codebuild.CfnProject(
            self,
            "Project",
            service_role=self.role.role_arn,
            source=codebuild.CfnProject.SourceProperty(
                type="S3",
                location=f"{source.s3_bucket_name}/{source.s3_object_key}",
                build_spec=spec.to_json(),
            ),
            artifacts=codebuild.CfnProject.ArtifactsProperty(type="NO_ARTIFACTS"),
            environment=codebuild.CfnProject.EnvironmentProperty(
                type="LINUX_CONTAINER",
                compute_type=spec.compute,
                image=spec.image,
                image_pull_credentials_type=(
                    "CODEBUILD" if spec.image == STANDARD_IMAGE else "SERVICE_ROLE"
                ),
                privileged_mode=spec.privileged,
                environment_variables=[
                    codebuild.CfnProject.EnvironmentVariableProperty(
                        name=name, value=value, type="PLAINTEXT"
                    )
                    for name, value in {
                        **spec.environment,
                        "SD_LOG_GROUP": log_group.log_group_name,
                    }.items()
                ],
            ),
            logs_config=codebuild.CfnProject.LogsConfigProperty(
                cloud_watch_logs=codebuild.CfnProject.CloudWatchLogsConfigProperty(
                    status="ENABLED", group_name=log_group.log_group_name
                )
            ),
            encryption_key=encryption_key.key_arn,
            timeout_in_minutes=spec.timeout.to_minutes(),
            queued_timeout_in_minutes=QUEUED_MIN,
        )
        self._trigger(key, spec, output)

    def _source(self, spec: BuildSpec) -> assets.Asset:
        scripts = ("run_logged.py", "send_signal.py", *spec.scripts)
        files = {f"stacks/builds/{name}": BUILD_SCRIPTS / name for name in scripts}
        files["stacks/__init__.py"] = ROOT / "stacks" / "__init__.py"
        with staged({**spec.files, **files}) as folder:
            return assets.Asset(
                self, "Source", path=str(folder), follow_symlinks=SymlinkFollowMode.ALWAYS
            )

    def _trigger(self, key: str, spec: BuildSpec, output: S3Output | EcrOutput) -> None:
        trigger = _shared_trigger(self)
        trigger.role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "codebuild:StartBuild",
                    "codebuild:StopBuild",
                    "codebuild:BatchGetBuilds",
                    "codebuild:ListBuildsForProject",
                ],
                resources=[self.project.attr_arn],
            )
        )
        if isinstance(output, S3Output):
            described = {"Bucket": output.bucket.bucket_name, "Manifest": output.manifest}
            trigger.role.add_to_policy(
                iam.PolicyStatement(
                    actions=["s3:ListBucket"],
                    resources=[output.bucket.bucket_arn],
                    conditions={"StringEquals": {"s3:prefix": output.manifest}},
                )
            )
        else:
            described = {"Repository": output.repository.repository_name, "Tag": output.tag}
            trigger.role.add_to_policy(
                iam.PolicyStatement(
                    actions=["ecr:DescribeImages"], resources=[output.repository.repository_arn]
                )
            )
        ended = events.Rule(
            self,
            "Ended",
            event_pattern=events.EventPattern(
                source=["aws.codebuild"],
                detail_type=["CodeBuild Build State Change"],
                detail={
                    "project-name": [self.project.ref],
                    "build-status": ["SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"],
                },
            ),
            targets=[targets.LambdaFunction(trigger.function)],
        )

        short = key[:12]
        handle = CfnWaitConditionHandle(self, f"Handle{short}")
        # Every dependency is on the resources that must be in place before the build starts: its
        # permissions, and the rule that hears of its end.
        run = CustomResource(
            self,
            f"Run{short}",
            resource_type="Custom::BuildStep",
            service_token=trigger.function.function_arn,
            service_timeout=Duration.minutes(5),
            properties={
                "Project": self.project.ref,
                "Key": key,
                "WaitUrl": handle.ref,
                "Output": described,
            },
        )
        run.node.add_dependency(self.role, trigger.role, ended)
        wait_s = spec.timeout.to_seconds() + (QUEUED_MIN + PROVISIONING_MIN) * 60
        self.ready = CfnWaitCondition(
            self, f"Ready{short}", handle=handle.ref, timeout=str(min(wait_s, MAX_WAIT_S)), count=1
        )
        self.ready.node.add_dependency(run)


def _shared_trigger(scope: Construct) -> PythonFunction:
    """One Lambda serves all steps of a stack."""
    stack = Stack.of(scope)
    found = stack.node.try_find_child("BuildTrigger")
    if isinstance(found, PythonFunction):
        return found
    return PythonFunction(
        stack,
        "BuildTrigger",
        package="build_trigger",
        uses=["cfn_requests"],
        timeout=Duration.minutes(2),
        memory_mb=256,
        log_days=30,
    )
