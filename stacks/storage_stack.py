"""What everything else is kept in: the key, the model bucket, the image repositories, the builds'
log."""

from aws_cdk import CfnOutput, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.compile_key import WORK_FOLDER
from stacks.components.artifacts import Storage
from stacks.components.log_group import LogGroup
from stacks.settings import KINDS, Settings

# Kept when the stack is deleted, not when its creation fails: what that has made nobody would find,
# and the next deploy makes its own.
KEPT = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


class StorageStack(Stack):
    """Exposes `kept`, and `repositories` by kind.

    It holds nothing that can fail late: no build, no custom resource. All of it outlives the stack,
    being expensive to make again; so nothing has a fixed name, or a deploy after a destroy would
    run into what the first one left.

    It exports the same whatever variants there are: what a stack that was dropped from the setting
    still uses can't be taken away.
    """

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        key = kms.Key(
            self,
            "Key",
            description=f"Stable Diffusion ({settings.names.prefix}): weights, models and builds",
            enable_key_rotation=True,
            removal_policy=KEPT,
        )
        bucket = s3.Bucket(
            self,
            "Models",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            lifecycle_rules=[
                s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(2)),
                # Graphs for the next compile: another try, or one size more.
                s3.LifecycleRule(prefix=WORK_FOLDER, expiration=Duration.days(30)),
            ],
            removal_policy=KEPT,
        )
        acknowledge(
            bucket,
            "Holds public model weights and what is compiled from them, under content keys, read "
            "by the roles of this app alone; access by anyone else shows in CloudTrail data events "
            "where the account records them.",
            "AwsSolutions-S1",
            "CKV_AWS_18",
        )
        acknowledge(
            bucket,
            "Content keys are its versions: what differs lies elsewhere, and all of it can be "
            "made again.",
            "CKV_AWS_21",
        )
        self.repositories = {
            name: ecr.Repository(
                self,
                f"Images{kind.folder.capitalize()}",
                image_tag_mutability=ecr.TagMutability.IMMUTABLE,
                image_scan_on_push=True,
                lifecycle_rules=[
                    # An endpoint pulls its image whenever it scales out: this must reach far back.
                    # AWS's layers, nearly all of an image, are stored once for all of them.
                    ecr.LifecycleRule(max_image_count=100)
                ],
                removal_policy=KEPT,
            )
            for name, kind in KINDS.items()
        }
        for repository in self.repositories.values():
            acknowledge(
                repository,
                "Encrypted with ECR's own keys: AWS's public containers and this app's code. What "
                "is worth a key, the weights, lies in the bucket.",
                "CKV_AWS_136",
            )
        # One for all builds, and here: the error of a deploy that is rolled back links to it.
        log = LogGroup(self, "BuildLog", days=settings.builds.log_days, keep=True)
        self.kept = Storage(bucket, key, log, settings.names)
        CfnOutput(self, "ModelBucket", value=bucket.bucket_name)
        CfnOutput(self, "BuildLogGroup", value=log.log_group_name)
        for value in (
            key.key_arn,
            bucket.bucket_name,
            bucket.bucket_arn,
            log.log_group_name,
            log.log_group_arn,
        ):
            self.export_value(value)
        for repository in self.repositories.values():
            self.export_value(repository.repository_name)
            self.export_value(repository.repository_arn)
