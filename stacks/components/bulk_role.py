"""The role of the training jobs that make large batches, one for all variants."""

from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.build_scripts.training_job import LOG_GROUP
from stacks.components.grants import (
    REGISTRY_LOGIN,
    grant,
    grant_listing,
    grant_log_streams,
    grant_objects,
    grant_pull,
    grant_unscoped,
    metrics_in,
)
from stacks.components.network import UNSCOPED, Network
from stacks.components.service_role import ServiceRole
from stacks.settings import Names
from stacks.storage_stack import StorageStack

# Of the model bucket: what variants serve, under its content keys.
ARTIFACTS = ("weights/", "compiled/")
STREAMS = "SageMaker names a job's log stream when its instance is up"


class BulkRole(Construct):
    """SageMaker brings artifact and work in under `role`, and the container itself writes each
    picture and result at once: a job that is interrupted has lost none but the one at hand. One
    that a function may pass by its name, so no variant's own."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        names: Names,
        storage: StorageStack,
        bucket: s3.Bucket,
        folder: str,
        network: Network | None,
    ) -> None:
        super().__init__(scope, id)
        self.role = ServiceRole(self, "Role", service="sagemaker.amazonaws.com")
        kept = storage.kept
        for prefix in ARTIFACTS:
            why = "models that any variant may serve, under content keys; nothing of it is secret"
            grant_objects(self.role, kept.bucket, prefix, ["s3:GetObject"], why=why)
            grant_listing(self.role, kept.bucket, prefix)
        grant(self.role, ["kms:Decrypt"], kept.encryption_key.key_arn)
        grant_objects(
            self.role,
            bucket,
            folder,
            ["s3:GetObject", "s3:PutObject"],
            why="objects are named by batch, line and seed, known at run time alone",
        )
        grant_listing(self.role, bucket, folder)
        for repository in storage.repositories.values():
            grant_pull(self.role, repository.repository_arn)
        grant_log_streams(
            self.role,
            LOG_GROUP,
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams"],
            why=STREAMS,
        )
        grant_log_streams(
            self.role,
            LOG_GROUP,
            ["logs:PutLogEvents"],
            why=STREAMS,
            streams=f"{names.bulk_job}/*",
        )
        if network:
            network.grant_use(self.role)
        needs = (REGISTRY_LOGIN, metrics_in(LOG_GROUP), *(UNSCOPED if network else ()))
        grant_unscoped(self.role, *needs)
