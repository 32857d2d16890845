"""What builds make and endpoints serve, and where it is kept."""

from dataclasses import dataclass

from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from sd_contract.manifest import NAME
from stacks.settings import Names


@dataclass(frozen=True)
class Storage:
    """The model bucket, the key of all that is in it, and the log of all builds, of the copy of the
    app that has these names."""

    bucket: s3.Bucket
    encryption_key: kms.IKey
    build_log: logs.ILogGroup
    names: Names


@dataclass(frozen=True)
class ServedModel:
    """What an endpoint serves: `prefix` of the bucket ends in "/"; `artifact_key` is what its
    manifest says; `revision` the model's commit or content."""

    storage: Storage
    prefix: str
    artifact_key: str
    revision: str

    @property
    def uri(self) -> str:
        return self.storage.bucket.s3_url_for_object(self.prefix)

    @property
    def manifest(self) -> str:
        """The object in the model bucket that is written last."""
        return f"{self.prefix}{NAME}"


@dataclass(frozen=True)
class ServingImage:
    """`record` is the object in the model bucket that says what it was built on."""

    repository: ecr.IRepository
    uri: str
    record: str


@dataclass(frozen=True)
class BatchExchange:
    """Where asynchronous requests are read and their answers written, below prefixes of the bucket,
    and who is told."""

    bucket: s3.Bucket
    inputs: str
    outputs: str
    success: sns.ITopic
    error: sns.ITopic
