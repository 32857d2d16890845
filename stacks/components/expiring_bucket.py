"""A bucket of what callers fetch by presigned URLs, for days."""

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.acknowledge import acknowledge


def expiring_bucket(
    scope: Construct,
    id: str,
    *,
    days: int,
    unlogged: str,
    cors: Sequence[s3.CorsRule] | None = None,
) -> s3.Bucket:
    """`unlogged`: why nobody needs S3's access log of it."""
    bucket = s3.Bucket(
        scope,
        id,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(days))],
        cors=cors,
        # What is in it expires anyway; but a bucket with some left is not ours to empty, so it
        # stays until its owner does.
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )
    acknowledge(bucket, unlogged, "AwsSolutions-S1", "CKV_AWS_18")
    unversioned = "What expires here is to be gone; what is written twice is the same both times."
    acknowledge(bucket, unversioned, "CKV_AWS_21")
    return bucket
