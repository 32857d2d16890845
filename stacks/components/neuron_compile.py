"""The model compiled for Inferentia2, in S3 under its content key.

Two ways to the same artifact: CodeBuild starts a SageMaker training job on Trainium and follows
it, or compiles on its own large CPU host, where no device is there to draw the parity gate's
pictures, so the first endpoint that loads the artifact does.
"""

import json

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.catalogue.images import BaseImage
from stacks.compile_key import WORK_FOLDER, compile_keys, compile_sources
from stacks.components.build_step import (
    STANDARD_IMAGE,
    BuildSpec,
    BuildStep,
    S3Output,
)
from stacks.components.grants import (
    LIST_TRAINING_JOBS,
    REGISTRY_LOGIN,
    Unscoped,
    grant_listing,
    grant_log_streams,
    grant_named,
    grant_objects,
    grant_unscoped,
)
from stacks.components.service_role import ServiceRole
from stacks.components.weights import Weights
from stacks.settings import Settings

# What the build does besides the job: installing the SDK, copying the output.
OVERHEAD_MIN = 30
JOB_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
# 72 vCPU, 144 GB: the cross-compile needs some 35 GB (aws-neuron-samples#10).
CPU_COMPUTE = "BUILD_GENERAL1_2XLARGE"
SCRIPTS = {
    "training-job": (
        "compile-requirements.txt",
        "follow_job.py",
        "neuron_compile.py",
        "s3_folder.py",
        "training_job.py",
    ),
    "codebuild-cpu": ("cpu_compile.py", "s3_folder.py"),
}
COMMANDS = {
    "training-job": (
        # A folder of its own, found first: it pins packages that the host has in other versions.
        "python3 -m pip --disable-pip-version-check install --quiet --no-deps --no-compile "
        "--target .sdk -r stacks/build_scripts/compile-requirements.txt",
        "PYTHONPATH=.sdk python3 -m stacks.build_scripts.neuron_compile",
    ),
    "codebuild-cpu": ("python3 -m stacks.build_scripts.cpu_compile",),
}
READ = ("s3:GetObject",)
WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")


class NeuronCompile(Construct):
    """`prefix` ("compiled/<key>/") holds what an Inferentia2 endpoint loads, its manifest written
    last; `ready` is when it's there. `key` is its content key."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        weights: Weights,
        bucket: s3.Bucket,
        encryption_key: kms.IKey,
        log_group: logs.ILogGroup,
    ) -> None:
        super().__init__(scope, id)
        compiling = settings.compile
        keys = compile_keys(settings, weights.key)
        image = settings.base_image(settings.inf2)
        self.key = keys.artifact
        self.prefix = f"compiled/{self.key}/"
        # Shared by all runs for the same graphs, so that one goes on where another ended.
        work = f"{WORK_FOLDER}{keys.parts}/"
        environment = {
            "SD_BUCKET": bucket.bucket_name,
            "SD_WEIGHTS_PREFIX": weights.prefix,
            "SD_WORK_PREFIX": work,
            "SD_TARGET_PREFIX": self.prefix,
            "SD_HYPERPARAMETERS": json.dumps(
                {
                    "key": self.key,
                    "parts-key": keys.parts,
                    "weights-key": weights.key,
                    "sizes": ",".join(compiling.sizes),
                    "backend": compiling.backend,
                    "dtype": compiling.dtype,
                    "sdk": compiling.sdk,
                    **({"parity-db": str(compiling.parity_db)} if compiling.parity_db else {}),
                }
            ),
        }
        on_cpu = compiling.compute == "codebuild-cpu"
        job_role = None if on_cpu else self._job_role(bucket, weights, work, encryption_key, image)
        if job_role:
            environment |= {
                "SD_IMAGE": image.reference,
                "SD_ROLE_ARN": job_role.role_arn,
                "SD_INSTANCE_TYPE": compiling.instance_type,
                "SD_SPOT": json.dumps(compiling.spot),
                "SD_MAX_SECONDS": str(compiling.timeout_min * 60),
                "SD_KMS_KEY_ARN": encryption_key.key_arn,
                "SD_POLL_S": str(compiling.poll_s),
            }
        step = BuildStep(
            self,
            "Compile",
            key=self.key,
            spec=BuildSpec(
                name="compile",
                commands=COMMANDS[compiling.compute],
                scripts=SCRIPTS[compiling.compute],
                files={f"code/{name}": path for name, path in compile_sources().items()},
                environment=environment,
                timeout=Duration.minutes(compiling.timeout_min + OVERHEAD_MIN),
                compute=CPU_COMPUTE if on_cpu else "BUILD_GENERAL1_SMALL",
                image=image.reference if on_cpu else STANDARD_IMAGE,
            ),
            output=S3Output(bucket, f"{self.prefix}manifest.json"),
            encryption_key=encryption_key,
            log_group=log_group,
            jobs="" if on_cpu else "sd-compile-",
        )
        self._grant_files(step.role, bucket, weights, work)
        if job_role:
            self._grant_job(step.role, job_role, step.job_prefix)
            # With its policy: the job starts to use it at once.
            step.node.add_dependency(job_role)
        else:
            _grant_pull(step.role, image)
            grant_unscoped(step.role, REGISTRY_LOGIN)
            acknowledge(
                step.project,
                "the Neuron compiler comes in AWS's own container, pinned by its tag in settings",
                "AwsSolutions-CB5",
            )
        self.ready = step.ready

    def _grant_files(self, role: iam.Role, bucket: s3.Bucket, weights: Weights, work: str) -> None:
        """The build's own: code and checkpoints in, the artifact out."""
        names = "the names below are the model's and the job's own"
        grant_objects(role, bucket, weights.prefix, READ, why=names)
        grant_objects(role, bucket, work, [*WRITE, "s3:DeleteObject"], why=names)
        grant_objects(role, bucket, self.prefix, WRITE, why=names)
        for prefix in (weights.prefix, work, self.prefix):
            grant_listing(role, bucket, prefix)

    def _grant_job(self, role: iam.Role, job_role: iam.Role, job_prefix: str) -> None:
        """Starting, following and stopping jobs of this key, with that one role."""
        grant_named(
            role,
            [
                "sagemaker:CreateTrainingJob",
                "sagemaker:DescribeTrainingJob",
                "sagemaker:StopTrainingJob",
            ],
            f"training-job/{job_prefix}",
            why="a job's name ends in its build's number, which is known at run time alone",
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[job_role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            )
        )
        grant_log_streams(
            role,
            JOB_LOG_GROUP,
            ["logs:DescribeLogStreams", "logs:GetLogEvents"],
            why="SageMaker names a job's log stream when its instance is up",
        )
        grant_unscoped(role, LIST_TRAINING_JOBS)

    def _job_role(
        self,
        bucket: s3.Bucket,
        weights: Weights,
        work: str,
        encryption_key: kms.IKey,
        image: BaseImage,
    ) -> iam.Role:
        """What SageMaker does for the job, whose container itself has no network: it brings weights
        and code in, takes output, checkpoints and log out."""
        role = ServiceRole(self, "JobRole", service="sagemaker.amazonaws.com")
        names = "the names below are the model's and the job's own"
        grant_objects(role, bucket, weights.prefix, READ, why=names)
        grant_objects(role, bucket, work, WRITE, why=names)
        for prefix in (weights.prefix, work):
            grant_listing(role, bucket, prefix)
        role.add_to_policy(
            iam.PolicyStatement(
                # Encrypt is for OutputDataConfig.KmsKeyId, says botocore.
                actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"],
                resources=[encryption_key.key_arn],
            )
        )
        grant_log_streams(
            role,
            JOB_LOG_GROUP,
            [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            why="SageMaker names a job's log stream when its instance is up",
        )
        _grant_pull(role, image)
        grant_unscoped(
            role,
            REGISTRY_LOGIN,
            Unscoped(
                "cloudwatch:PutMetricData",
                "metrics have no resources; the namespace narrows it to the job's own",
                {"StringEquals": {"cloudwatch:namespace": [JOB_LOG_GROUP]}},
            ),
        )
        return role


def _grant_pull(role: iam.Role, image: BaseImage) -> None:
    """AWS's container, from AWS's account."""
    role.add_to_policy(
        iam.PolicyStatement(
            actions=[
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:BatchGetImage",
            ],
            resources=[
                Stack.of(role).format_arn(
                    service="ecr",
                    account=image.account,
                    region=image.region,
                    resource="repository",
                    resource_name=image.repository,
                )
            ],
        )
    )
