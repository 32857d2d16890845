"""The model compiled for Inferentia2, in S3 under its content key.

Two ways to the same artifact: CodeBuild starts a SageMaker training job on Trainium and follows
it, or compiles on its own large CPU host, where no device is there to draw the parity gate's
pictures, so the first endpoint that loads the artifact does.
"""

import json
from collections.abc import Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.build_scripts.cpu_compile import CompileJob
from stacks.build_scripts.training_job import LOG_GROUP, TrainiumJob
from stacks.catalogue.images import BaseImage
from stacks.compile_key import WORK_FOLDER, compile_keys, compile_sources
from stacks.components.artifacts import ServedModel, Storage
from stacks.components.build_step import (
    ANY_BUILD,
    ANY_KEY,
    STANDARD_IMAGE,
    BuildSpec,
    BuildStep,
    Output,
)
from stacks.components.grants import (
    LIST_TRAINING_JOBS,
    REGISTRY_LOGIN,
    grant,
    grant_key,
    grant_listing,
    grant_log_streams,
    grant_named,
    grant_objects,
    grant_pull,
    grant_unscoped,
    metrics_in,
)
from stacks.components.image_build import base_arn
from stacks.components.network import UNSCOPED, Network
from stacks.components.service_role import ServiceRole
from stacks.settings import Settings
from stacks.settings.compile import CompiledSettings

# What the build does besides the job: installing the SDK, copying the output.
OVERHEAD_MIN = 30
# 72 vCPU, 144 GB: the cross-compile needs some 35 GB (aws-neuron-samples#10).
CPU_COMPUTE = "BUILD_GENERAL1_2XLARGE"
COMMANDS = {
    "training-job": (
        # A folder of its own, found first: it pins packages that the host has in other versions.
        "python3 -m pip --disable-pip-version-check install --quiet --no-deps --no-compile "
        "--target .sdk -r stacks/build_scripts/requirements-compile.txt",
        "PYTHONPATH=.sdk python3 -m stacks.build_scripts.neuron_compile",
    ),
    "codebuild-cpu": ("python3 -m stacks.build_scripts.cpu_compile",),
}
READ = ("s3:GetObject",)
WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
ALL = (*WRITE, "s3:DeleteObject")
NAMES = "the names below are the model's and the job's own"
STREAMS = "SageMaker names a job's log stream when its instance is up"


class NeuronCompile(Construct):
    """`served.prefix` ("compiled/<key>/") holds what an Inferentia2 endpoint loads, its manifest
    written last, under its content key."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        variant: CompiledSettings,
        weights: ServedModel,
        storage: Storage,
        network: Network | None,
    ) -> None:
        super().__init__(scope, id)
        compiling, bucket = variant.compile, storage.bucket
        keys = compile_keys(variant, weights.artifact_key)
        image = settings.base_image(variant)
        target = f"compiled/{keys.artifact}/"
        # Shared by all that can use each other's graphs, so that one goes on where another ended.
        work = f"{WORK_FOLDER}{keys.work}/"
        self.served = ServedModel(storage, target, keys.artifact, weights.revision)
        self._storage, self._weights, self._work = storage, weights.prefix, work
        self._jobs = settings.names.jobs(variant.name)
        job = CompileJob(
            bucket=bucket.bucket_name,
            weights_prefix=weights.prefix,
            work_prefix=work,
            target_prefix=target,
            hyperparameters={
                "key": keys.artifact,
                "part-keys": json.dumps(keys.parts, separators=(",", ":")),
                "weights-key": weights.artifact_key,
                "sizes": ",".join(map(str, variant.sizes)),
                "backend": compiling.backend,
                "dtype": variant.dtype,
                "sdk": variant.sdk,
                **({"parity-db": str(compiling.parity_db)} if compiling.parity_db else {}),
            },
        )
        on_cpu = compiling.compute == "codebuild-cpu"
        job_role = None if on_cpu else self._job_role(image, network)
        if job_role:
            job = TrainiumJob(
                **vars(job),
                image=image.reference,
                role_arn=job_role.role_arn,
                instance_type=compiling.instance_type,
                spot=compiling.spot,
                max_seconds=compiling.timeout_min * 60,
                kms_key_arn=storage.encryption_key.key_arn,
                poll_s=compiling.poll_s,
                subnets=network.subnets if network else (),
                security_groups=network.security_groups if network else (),
            )
        step = BuildStep(
            self,
            "Compile",
            key=keys.artifact,
            spec=BuildSpec(
                name=f"compile-{variant.name}",
                commands=COMMANDS[compiling.compute],
                files={f"code/{name}": path for name, path in compile_sources().items()},
                environment=job.to_env(),
                timeout=Duration.minutes(compiling.timeout_min + OVERHEAD_MIN),
                compute=CPU_COMPUTE if on_cpu else "BUILD_GENERAL1_SMALL",
                image=image.reference if on_cpu else STANDARD_IMAGE,
            ),
            output=Output(bucket, self.served.manifest),
            storage=storage,
            jobs="" if on_cpu else self._jobs,
        )
        self._grant_files(step.role, {weights.prefix: READ, work: ALL, target: WRITE})
        if job_role:
            self._grant_job(step, job_role)
            # With its policy: the job starts to use it at once.
            step.node.add_dependency(job_role)
        else:
            grant_pull(step.role, base_arn(self, image))
            grant_unscoped(step.role, REGISTRY_LOGIN)
            acknowledge(
                step.project,
                "the Neuron compiler comes in AWS's own container, pinned by its tag in settings",
                "AwsSolutions-CB5",
            )

    def _grant_files(self, role: iam.Role, prefixes: Mapping[str, Sequence[str]]) -> None:
        """Actions on objects by prefix, and listing each."""
        for prefix, actions in prefixes.items():
            grant_objects(role, self._storage.bucket, prefix, actions, why=NAMES)
            grant_listing(role, self._storage.bucket, prefix)

    def _grant_job(self, step: BuildStep, job_role: iam.Role) -> None:
        """Starting, following and stopping jobs of this key, with that one role."""
        grant_named(
            step.role,
            [
                "sagemaker:CreateTrainingJob",
                "sagemaker:DescribeTrainingJob",
                "sagemaker:StopTrainingJob",
            ],
            f"training-job/{step.job_pattern}",
            why="a job's name ends in its build's number, which is known at run time alone",
        )
        to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        grant(step.role, ["iam:PassRole"], job_role.role_arn, conditions=to_sagemaker)
        grant_log_streams(step.role, LOG_GROUP, ["logs:DescribeLogStreams"], why=STREAMS)
        self._grant_job_log(step.role, "logs:GetLogEvents")
        grant_unscoped(step.role, LIST_TRAINING_JOBS)

    def _grant_job_log(self, role: iam.Role, action: str) -> None:
        """On the streams of the variant's jobs, in the group of all training jobs."""
        streams = f"{self._jobs}{ANY_KEY}-{ANY_BUILD}/*"
        grant_log_streams(role, LOG_GROUP, [action], why=STREAMS, streams=streams)

    def _job_role(self, image: BaseImage, network: Network | None) -> iam.Role:
        """What SageMaker does for the job, whose container itself has no network: it brings weights
        and code in, takes output, checkpoints and log out."""
        role = ServiceRole(self, "JobRole", service="sagemaker.amazonaws.com")
        self._grant_files(role, {self._weights: READ, self._work: WRITE})
        # Its Encrypt is for OutputDataConfig.KmsKeyId, says botocore.
        grant_key(role, self._storage.encryption_key)
        grant_log_streams(
            role,
            LOG_GROUP,
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams"],
            why=STREAMS,
        )
        self._grant_job_log(role, "logs:PutLogEvents")
        grant_pull(role, base_arn(self, image))
        if network:
            network.grant_use(role)
        needs = (REGISTRY_LOGIN, metrics_in(LOG_GROUP), *(UNSCOPED if network else ()))
        grant_unscoped(role, *needs)
        return role
