"""The compile as a SageMaker training job, and what it means when it doesn't come about.

CompileFailed
├── QuotaTooLow        the account may not have such an instance (yet)
└── CapacityMissing    AWS has none to give just now
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.build_scripts.cpu_compile import CompileJob

# The code channel's folder is the working directory, so `inf2` and `sd_serving` are found there.
ENTRY_POINT = ("bash", "-c")
ARGUMENTS = ('cd "${SD_OPT_ML:-/opt/ml}/input/data/code" && exec python3 -m inf2.compile',)
# SageMaker's, of all training jobs of an account.
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
# The container's own TEMP lies in its layers, which are small for the compiler's gigabytes.
ENVIRONMENT = {"TMPDIR": "/tmp"}
# Weights, the compiler's working files and the output; trn1's local NVMe holds 474 GB.
VOLUME_GB = 100
# Else it reports every call, with the account's number, to a bucket of AWS's.
NO_TELEMETRY = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}
WITHOUT_TRAINIUM = "-c sd.kinds.neuron.compile.compute=codebuild-cpu compiles without Trainium"
# docs.aws.amazon.com/ec2: a trn1.2xlarge has 32 GiB, a trn1.32xlarge 512 GiB.
MORE_MEMORY = (
    "Memory did not suffice: sd.kinds.neuron.compile.instance_type=ml.trn1.32xlarge has sixteen "
    "times that of ml.trn1.2xlarge; fewer or smaller sd.kinds.neuron.sizes need less"
)


class CompileFailed(Exception):
    """The message is for whoever reads the deploy's error: one line, complete."""


class QuotaTooLow(CompileFailed):
    pass


class CapacityMissing(CompileFailed):
    pass


@dataclass(frozen=True)
class TrainiumJob(CompileJob):
    image: str
    role_arn: str
    instance_type: str
    spot: bool
    max_seconds: int
    kms_key_arn: str
    poll_s: float
    subnets: Sequence[str]
    security_groups: Sequence[str]


@dataclass(frozen=True)
class TrainingJob:
    """Everything that CreateTrainingJob is told. URIs are of S3 prefixes; `prefix` is what the
    names of all jobs of this key begin with."""

    name: str
    prefix: str
    key: str
    region: str
    told: TrainiumJob

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "TrainingJob":
        # Unique to the build, and the same if this step of it is tried again.
        build = hashlib.sha256(env["CODEBUILD_BUILD_ID"].encode()).hexdigest()[:8]
        prefix, told = env["SD_JOB_PREFIX"], TrainiumJob.from_env(env)
        return cls(f"{prefix}{build}", prefix, env["SD_KEY"], env["AWS_REGION"], told)

    @property
    def quota_name(self) -> str:
        """As Service Quotas lists it under Amazon SageMaker."""
        return (
            f"{self.told.instance_type} for {'spot ' if self.told.spot else ''}training job usage"
        )

    @property
    def code_prefix(self) -> str:
        return f"{self.told.work_prefix}code/{self.key}/"

    @property
    def channels(self) -> dict[str, str]:
        """Input URIs by name."""
        bucket = f"s3://{self.told.bucket}/"
        return {"weights": bucket + self.told.weights_prefix, "code": bucket + self.code_prefix}

    @property
    def output_uri(self) -> str:
        return f"s3://{self.told.bucket}/{self.told.work_prefix}".rstrip("/")

    @property
    def checkpoints_uri(self) -> str:
        return f"{self.output_uri}/checkpoints/"

    def is_described_by(self, described: Mapping[str, Any]) -> bool:
        """Whether DescribeTrainingJob's answer is of a job that was told the same: another may have
        lost its role with the deploy that made it, or compile something else."""
        told, algorithm = self.told, described["AlgorithmSpecification"]
        network = described.get("VpcConfig", {})
        channels = {
            channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in described.get("InputDataConfig", ())
        }
        return (
            described["RoleArn"] == told.role_arn
            and algorithm.get("TrainingImage") == told.image
            and tuple(algorithm.get("ContainerEntrypoint", ())) == ENTRY_POINT
            and tuple(algorithm.get("ContainerArguments", ())) == ARGUMENTS
            and described.get("HyperParameters", {}) == told.hyperparameters
            and described["ResourceConfig"].get("InstanceType") == told.instance_type
            and described.get("EnableManagedSpotTraining", False) == told.spot
            and described["StoppingCondition"].get("MaxRuntimeInSeconds") == told.max_seconds
            and channels == self.channels
            and described["OutputDataConfig"]["S3OutputPath"] == self.output_uri
            and described["OutputDataConfig"].get("KmsKeyId") == told.kms_key_arn
            and {*network.get("Subnets", ())} == {*told.subnets}
            and {*network.get("SecurityGroupIds", ())} == {*told.security_groups}
            and described.get("CheckpointConfig", {}).get("S3Uri") == self.checkpoints_uri
        )


def submit(job: TrainingJob, boto_session: Any) -> None:
    """Creates the job and returns. Raises QuotaTooLow, or botocore's ClientError."""
    # It warns that version 2 is in its last year; so says requirements-compile.txt.
    os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
    from botocore.exceptions import ClientError
    from sagemaker.estimator import Estimator
    from sagemaker.inputs import TrainingInput
    from sagemaker.session import Session

    told = job.told
    estimator = Estimator(
        image_uri=told.image,
        role=told.role_arn,
        instance_count=1,
        instance_type=told.instance_type,
        volume_size=VOLUME_GB,
        max_run=told.max_seconds,
        use_spot_instances=told.spot,
        max_wait=told.max_seconds if told.spot else None,
        # With and without spot: a run after a failure goes on from what is compiled already.
        checkpoint_s3_uri=job.checkpoints_uri,
        output_path=job.output_uri,
        output_kms_key=told.kms_key_arn,
        disable_output_compression=True,
        container_entry_point=list(ENTRY_POINT),
        container_arguments=list(ARGUMENTS),
        hyperparameters=dict(told.hyperparameters),
        environment=ENVIRONMENT,
        enable_network_isolation=True,
        subnets=list(told.subnets) or None,
        security_group_ids=list(told.security_groups) or None,
        debugger_hook_config=False,
        disable_profiler=True,
        sagemaker_session=Session(boto_session=boto_session, sagemaker_config=NO_TELEMETRY),
    )
    channels = {
        name: TrainingInput(uri, s3_data_type="S3Prefix", input_mode="File")
        for name, uri in job.channels.items()
    }
    try:
        estimator.fit(channels, job_name=job.name, wait=False)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceLimitExceeded":
            raise quota_too_low(job, error.response["Error"]["Message"]) from error
        raise


def quota_too_low(job: TrainingJob, said: str) -> QuotaTooLow:
    """`said` is AWS's sentence, which quotes the quota's name; ours is the answer if it didn't."""
    named = re.search(r"'([^']+)'", said)
    name = named.group(1) if named else job.quota_name
    console = f"https://{job.region}.console.aws.amazon.com/servicequotas/home"
    return QuotaTooLow(
        f"The quota '{name}' of Amazon SageMaker in {job.region} is too low for the compile: "
        f"{said.strip()} Request at least 1: Service Quotas, Amazon SageMaker, '{name}', "
        f"{console}/services/sagemaker/quotas. "
        f"Until then, {WITHOUT_TRAINIUM}."
    )


def out_of_memory(job: TrainingJob, said: str) -> CompileFailed:
    """For a job that was killed whole; where only the compiler was, the compile itself says so."""
    return CompileFailed(
        f"the training job {job.name} was killed, most likely for want of memory on "
        f"{job.told.instance_type}: {said.strip()} {MORE_MEMORY}"
    )


def capacity_missing(job: TrainingJob, said: str) -> CapacityMissing:
    kind = "spot" if job.told.spot else "on-demand"
    return CapacityMissing(
        f"AWS has no {kind} {job.told.instance_type} for training in {job.region} just now: "
        f"{said.strip()} No quota helps here. Deploy again later, or change "
        f"instance_type or spot of sd.kinds.neuron.compile, or sd.region; {WITHOUT_TRAINIUM}."
    )
