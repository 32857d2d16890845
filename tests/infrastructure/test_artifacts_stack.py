"""What is kept: encrypted, private, not deleted with the stack, and never overwritten."""

from tests.infrastructure.support import Synthesized

STACK = "SdArtifactsStack"


def test_what_is_expensive_to_make_again_outlives_the_stack(aws: Synthesized) -> None:
    for type in ("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::ECR::Repository"):
        for resource in aws.resources(STACK, type).values():
            assert resource["DeletionPolicy"] == "Retain"
            assert resource["UpdateReplacePolicy"] == "Retain"


def test_models_are_private_and_encrypted_with_a_key_that_rotates(aws: Synthesized) -> None:
    bucket = aws.only(STACK, "AWS::S3::Bucket")["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert aws.only(STACK, "AWS::KMS::Key")["Properties"]["EnableKeyRotation"] is True


def test_models_never_expire(aws: Synthesized) -> None:
    """An endpoint that scales out next year downloads them anew."""
    rules = aws.only(STACK, "AWS::S3::Bucket")["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = [rule for rule in rules if "ExpirationInDays" in rule]
    assert [rule.get("Prefix") for rule in expiring] == ["compile-jobs/"]


def test_an_image_tag_means_one_image_for_ever(aws: Synthesized) -> None:
    repositories = aws.resources(STACK, "AWS::ECR::Repository").values()
    assert len(repositories) == 3
    for repository in repositories:
        assert repository["Properties"]["ImageTagMutability"] == "IMMUTABLE"
        assert repository["Properties"]["ImageScanningConfiguration"] == {"ScanOnPush": True}
