"""Who asks, and whether the account has the region."""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

from operations.account import Clients
from operations.preflight.finding import Finding, fails, ok, unknown

LOG_IN = "aws configure, aws sso login, or AWS_PROFILE; aws sts get-caller-identity shows whose"
SUBJECT = "credentials"
# Every account has these; a region that it hasn't opted in to takes no credentials of its.
HOME = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
# docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
REFUSED = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch",
           "UnrecognizedClientException", "AuthFailure", "IncompleteSignature")  # fmt: skip


def identity(clients: Clients) -> Finding:
    """By STS at home, where every account is let in."""
    try:
        caller = clients("sts").get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError) as error:
        return fails(SUBJECT, str(error), LOG_IN)
    except ClientError as error:
        if error.response["Error"]["Code"] in REFUSED:
            return fails(SUBJECT, str(error), LOG_IN)
        raise
    return ok(SUBJECT, f"{caller['Arn']}, account {caller['Account']}")


def region_of(ec2: Any, region: str) -> Iterator[Finding]:
    """`ec2` is a client at home."""
    subject = f"region {region}"
    try:
        regions = ec2.describe_regions(AllRegions=True, RegionNames=[region])["Regions"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidParameterValue":
            raise
        regions = []
    status = regions[0]["OptInStatus"] if regions else ""
    if not regions:
        yield fails(subject, "AWS has none of that name", "sd.region, or AWS_REGION, names another")
    elif status == "not-opted-in":
        advice = f"aws account enable-region --region-name {region}, which takes minutes to hours"
        yield fails(subject, "the account hasn't opted in to it", advice)
    elif status in ("opted-in", "opt-in-not-required"):
        yield ok(subject, status)
    else:
        yield unknown(subject, f"EC2 says {status}", "look at Account settings, AWS Regions")


def home_of(region: str, partition_of: Callable[[str], str]) -> str:
    """Where `region`'s partition lets every account in; the region itself in any other."""
    return HOME.get(partition_of(region), region)
