"""Whether the region has the instance types."""

from collections.abc import Iterable, Iterator
from typing import Any

from operations.preflight.finding import Finding, fails, ok, unknown
from stacks.catalogue.hosts import offer


def offers(ec2: Any, region: str, wanted: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """`wanted`: "hosting" or "training", and a type.

    SageMaker has no such question. Its machines are EC2's, so a type that EC2 hasn't can't be had;
    one that it has still may not be SageMaker's there, as far as the dated table can tell.
    """
    for purpose, name in dict.fromkeys(wanted):
        subject = f"{name} for {purpose} in {region}"
        there = ec2.describe_instance_type_offerings(
            LocationType="region",
            Filters=[{"Name": "instance-type", "Values": [name.removeprefix("ml.")]}],
        )["InstanceTypeOfferings"]
        listed = offer(purpose, name, region)
        if not there:
            advice = "set another instance_type, or sd.region; for a compile, compute=codebuild-cpu"
            yield fails(subject, "EC2 offers none here", advice)
        elif listed.offered:
            yield ok(subject, f"offered by EC2, listed for SageMaker on {listed.date}")
        else:
            known = "lacks it" if listed.offered is False else "doesn't know the region"
            advice = "look in aws.amazon.com/sagemaker/pricing, under this region"
            found = f"EC2 offers it, the price list of {listed.date} {known}"
            yield unknown(subject, found, advice)
