"""What is kept: encrypted, private, never overwritten. That it stays is test_what_stays.py's."""

from pathlib import Path

import pytest

from stacks.settings import KINDS
from tests.infrastructure.support import G5_ALONE, Synthesized, synthesize

STACK = "SdStorageStack"
# What may be in a stack that must not fail late.
AT_ONCE = {
    "AWS::ECR::Repository",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
}


def test_storage_has_nothing_in_it_that_can_fail_late(aws: Synthesized) -> None:
    types = {resource["Type"] for resource in aws.templates[STACK]["Resources"].values()}
    assert types == AT_ONCE


@pytest.mark.parametrize("dropped", [G5_ALONE, {"sd.variants.inf2": ""}], ids=["two", "one"])
def test_a_dropped_variant_loses_neither_its_exports_nor_the_front_door(
    aws: Synthesized, tmp_path: Path, dropped: dict[str, str]
) -> None:
    """It may still be deployed: CloudFormation refuses to take an export away that is in use, and
    an endpoint costs whether or not it may be invoked."""
    narrowed = synthesize(tmp_path, **dropped)
    for stack in (STACK, "SdApiStack", "SdArtifactsStack"):
        assert narrowed.templates[stack] == aws.templates[stack]


def test_models_are_private_and_encrypted_with_a_key_that_rotates(aws: Synthesized) -> None:
    bucket = aws.only(STACK, "AWS::S3::Bucket")["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert aws.one(STACK, "AWS::KMS::Key", {"EnableKeyRotation": True})


def test_models_never_expire(aws: Synthesized) -> None:
    """An endpoint that scales out next year downloads them anew."""
    rules = aws.only(STACK, "AWS::S3::Bucket")["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = [rule for rule in rules if "ExpirationInDays" in rule]
    assert [rule.get("Prefix") for rule in expiring] == ["compile-jobs/"]


def test_an_image_tag_means_one_image_for_ever(aws: Synthesized) -> None:
    kept = {"ImageTagMutability": "IMMUTABLE", "ImageScanningConfiguration": {"ScanOnPush": True}}
    repositories = aws.resources(STACK, "AWS::ECR::Repository", kept)
    assert len(repositories) == len(KINDS)
    assert repositories == aws.resources(STACK, "AWS::ECR::Repository")


def test_the_log_of_a_build_outlives_the_rollback_that_points_to_it(aws: Synthesized) -> None:
    """All builds write to one group, which no build's stack owns."""
    assert aws.one(STACK, "AWS::Logs::LogGroup", {"RetentionInDays": 30})
    streams = set()
    for _, project in aws.every("AWS::CodeBuild::Project"):
        log = project["Properties"]["LogsConfig"]["CloudWatchLogs"]
        assert log["GroupName"]["Fn::ImportValue"].startswith(f"{STACK}:")
        streams.add(log["StreamName"])
    images = {f"image-{variant}" for variant in ("app", "g5", "djl", "inf2")}
    assert streams == {"weights-sd21-base", "compile-inf2", *images}
