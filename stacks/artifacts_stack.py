"""What is kept: the key, the model bucket, the image repositories, and the imported weights."""

from aws_cdk import CfnOutput, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.compile_key import WORK_FOLDER
from stacks.components.sagemaker_endpoint import ServedModel
from stacks.components.weights import Weights
from stacks.settings import VARIANTS, Settings


class ArtifactsStack(Stack):
    """Exposes `encryption_key`, `bucket`, `repositories` (by variant's name) and `weights`.

    All of it outlives the stack, being expensive to make again; so nothing has a fixed name, or a
    deploy after a destroy would run into what the first one left.
    """

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        self.encryption_key = kms.Key(
            self,
            "Key",
            description="Stable Diffusion: weights, compiled models and builds",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.bucket = s3.Bucket(
            self,
            "Models",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.encryption_key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            lifecycle_rules=[
                s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(2)),
                # Graphs of unfinished compiles, for the next try; gigabytes nobody reads later.
                s3.LifecycleRule(prefix=WORK_FOLDER, expiration=Duration.days(30)),
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(
            self.bucket,
            "Holds public model weights and what is compiled from them, under content keys, read "
            "by the roles of this app alone; access by anyone else shows in CloudTrail data events "
            "where the account records them.",
            "AwsSolutions-S1",
        )
        self.repositories = {
            name: ecr.Repository(
                self,
                f"Images{name.capitalize()}",
                image_tag_mutability=ecr.TagMutability.IMMUTABLE,
                image_scan_on_push=True,
                lifecycle_rules=[
                    # An endpoint pulls its image whenever it scales out: this must reach far back.
                    # AWS's layers, nearly all of an image, are stored once for all of them.
                    ecr.LifecycleRule(max_image_count=100)
                ],
                removal_policy=RemovalPolicy.RETAIN,
            )
            for name in VARIANTS
        }
        self.weights = Weights(
            self,
            "Weights",
            settings=settings,
            bucket=self.bucket,
            encryption_key=self.encryption_key,
        )
        CfnOutput(self, "ModelBucket", value=self.bucket.bucket_name)
        CfnOutput(self, "WeightsPrefix", value=self.weights.prefix)

    def served_weights(self) -> ServedModel:
        """The imported weights as an endpoint serves them."""
        return ServedModel(
            bucket=self.bucket,
            prefix=self.weights.prefix,
            artifact_key=self.weights.key,
            revision=self.weights.revision,
            encryption_key=self.encryption_key,
        )
