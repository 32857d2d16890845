"""The one way to run CodeBuild inside a deploy.

A custom resource starts the build with the step's content key; a wait condition, whose logical id
carries the key so that a changed key waits anew, holds up what depends on `ready`. EventBridge
tells the same Lambda of every end of a build, also of one that was killed: it signals how that
went, and stops the jobs that were started. Where the output is there already, nothing is built.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aws_cdk import (
    CfnWaitCondition,
    CfnWaitConditionHandle,
    CustomResource,
    Duration,
    SymlinkFollowMode,
)
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.components.artifacts import Storage
from stacks.components.build_trigger import BuildTrigger
from stacks.components.grants import grant, grant_key, grant_log_writes, grant_seeing
from stacks.components.service_role import ServiceRole
from stacks.content import files_below, staged
from stacks.settings import ROOT

BUILD_SCRIPTS = ROOT / "stacks" / "build_scripts"
# Amazon Linux 2023 with Docker, Python 3.12 and boto3:
# docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-available.html
STANDARD_IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
# How long a build may wait for a machine.
QUEUED_MIN = 60
# The most a wait condition takes, for every build: its Timeout can't be changed in an update
# (cloudformation-coverage-roadmap#1097). A build has a time limit of its own, and its end is heard.
WAIT_S = 43_200
# In patterns of jobs' names, which end in the beginnings of a key and of a build's number
# (neuron_compile.py). Of their lengths: a star would let another copy's jobs in.
ANY_KEY, ANY_BUILD = "?" * 12, "?" * 8
# By CodeBuild's compute types, as Service Quotas names them
# (docs.aws.amazon.com/codebuild/latest/userguide/limits.html).
QUOTAS = {
    f"BUILD_GENERAL1_{size.upper()}": f"Concurrently running builds for Linux/{size} environment"
    for size in ("Small", "Medium", "Large", "2XLarge")
}


@dataclass(frozen=True)
class Output:
    """Done when the bucket has the object `manifest` and, for an image, its repository the tag."""

    bucket: s3.IBucket
    manifest: str
    repository: ecr.IRepository | None = None
    tag: str = ""

    def described(self) -> dict[str, str]:
        """As the trigger is told of it."""
        told = {"Bucket": self.bucket.bucket_name, "Manifest": self.manifest}
        if self.repository:
            told |= {"Repository": self.repository.repository_name, "Tag": self.tag}
        return told

    def grant_seeing(self, role: iam.Role) -> None:
        if self.repository:
            grant(role, ["ecr:DescribeImages"], self.repository.repository_arn)
        grant_seeing(role, self.bucket, self.manifest)


@dataclass(frozen=True)
class BuildSpec:
    """What CodeBuild runs.

    `name` says what it builds; its log streams' names begin with it. `files` are laid out in the
    source folder, which is the working directory, by their names, beside stacks/build_scripts/ as
    in the repository. `commands` are lines of bash; the first that fails ends the build, its last
    output being the reason given to CloudFormation. They find SD_KEY and `environment` in theirs.
    An `image` other than the standard one is pulled with the step's role.
    """

    name: str
    commands: Sequence[str]
    timeout: Duration
    files: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    compute: str = "BUILD_GENERAL1_SMALL"
    image: str = STANDARD_IMAGE
    privileged: bool = False

    def to_json(self) -> str:
        phases: dict[str, object] = {"build": {"commands": list(self.commands)}}
        if self.image == STANDARD_IMAGE:
            phases["install"] = {"runtime-versions": {"python": "3.12"}}
        return json.dumps({"version": "0.2", "env": {"shell": "bash"}, "phases": phases})


class BuildStep(Construct):
    """`key` is the content key of the output. Grant what the build needs to `role`, and let
    whatever needs the output depend on `ready`. `jobs` is what the names of all training jobs begin
    with that its builds start; those of this key begin with what a build finds in SD_JOB_PREFIX,
    and fit `job_pattern`.

    Of a stack's steps, those that come first are started first: let the short ones.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        key: str,
        spec: BuildSpec,
        output: Output,
        storage: Storage,
        jobs: str = "",
    ) -> None:
        super().__init__(scope, id)
        encryption_key, log_group = storage.encryption_key, storage.build_log
        self.role = ServiceRole(self, "Role", service="codebuild.amazonaws.com")
        source = self._source(spec)
        grant_log_writes(self.role, log_group)
        archive = source.bucket.arn_for_objects(source.s3_object_key)
        grant(self.role, ["s3:GetObject", "s3:GetObjectVersion"], archive)
        # S3BucketIdentity in CodeBuild's user guide, setting-up-service-role.
        identity = ["s3:GetBucketAcl", "s3:GetBucketLocation"]
        grant(self.role, identity, source.bucket.bucket_arn)
        grant_key(self.role, encryption_key)

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
                    # Unbuffered: an error's words are to be the log's last.
                    for name, value in {**spec.environment, "PYTHONUNBUFFERED": "1"}.items()
                ],
            ),
            logs_config=codebuild.CfnProject.LogsConfigProperty(
                cloud_watch_logs=codebuild.CfnProject.CloudWatchLogsConfigProperty(
                    status="ENABLED", group_name=log_group.log_group_name, stream_name=spec.name
                )
            ),
            encryption_key=encryption_key.key_arn,
            timeout_in_minutes=spec.timeout.to_minutes(),
            queued_timeout_in_minutes=QUEUED_MIN,
        )
        self.job_pattern = f"{jobs}{key[:12]}-{ANY_BUILD}"
        self._run(key, spec, output, storage, jobs)

    def _source(self, spec: BuildSpec) -> assets.Asset:
        scripts = files_below(BUILD_SCRIPTS, "stacks/build_scripts/")
        package = {"stacks/__init__.py": ROOT / "stacks" / "__init__.py"}
        with staged({**spec.files, **scripts, **package}) as folder:
            return assets.Asset(
                self, "Source", path=str(folder), follow_symlinks=SymlinkFollowMode.ALWAYS
            )

    def _run(self, key: str, spec: BuildSpec, output: Output, storage: Storage, jobs: str) -> None:
        trigger = BuildTrigger.of(self, log_group=storage.build_log, names=storage.names)
        trigger.may_build(self.project)
        output.grant_seeing(trigger.role)
        if jobs:
            trigger.may_stop_jobs(f"{jobs}{ANY_KEY}-{ANY_BUILD}")
        short = key[:12]
        handle = CfnWaitConditionHandle(self, f"Handle{short}")
        run = CustomResource(
            self,
            f"Run{short}",
            resource_type="Custom::BuildStep",
            service_token=trigger.function.function_arn,
            # Where the account's quota is in use, the trigger tries again for nearly as long.
            service_timeout=Duration.hours(1),
            properties={
                "Project": self.project.ref,
                "Key": key,
                "WaitUrl": handle.ref,
                "Output": output.described(),
                "Quota": QUOTAS[spec.compute],
                **({"Jobs": {"NamePrefix": f"{jobs}{key[:12]}-"}} if jobs else {}),
            },
        )
        # What must be in place before the build starts: permissions, and who hears of its end.
        run.node.add_dependency(self.role, *trigger.ready, trigger.hears_of(self, self.project))
        trigger.in_turn(run)
        self.ready = CfnWaitCondition(
            self, f"Ready{short}", handle=handle.ref, timeout=str(WAIT_S), count=1
        )
        self.ready.node.add_dependency(run)
