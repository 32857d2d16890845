"""`sd.network`: which network the models run in."""

from collections.abc import Iterator
from dataclasses import dataclass

from stacks.settings.problems import Problem
from stacks.settings.rules import list_of, one_of, optional, setting, text

NONE, OWN, GIVEN = "none", "own", "given"
ZONE = text(r"[a-z]{2}(-[a-z]+)+-\d[a-z]", "an availability zone's name, such as us-east-1a")
# EC2's ids have 8 or 17 hex digits (docs.aws.amazon.com/ec2, resource-ids).
SUBNET = text(r"subnet-([0-9a-f]{8}|[0-9a-f]{17})", "a subnet's id")
SECURITY_GROUP = text(r"sg-([0-9a-f]{8}|[0-9a-f]{17})", "a security group's id")
# At least two: developer guide, host-vpc. At most: botocore, VpcConfig.
SUBNETS, SECURITY_GROUPS = (2, 16), (1, 5)
# As many as a region has, at most.
ZONES = (2, 6)
# By PrivateLink's names, without "com.amazonaws.<region>."
# (docs.aws.amazon.com/vpc/latest/privatelink/aws-services-privatelink-support.html).
INTERFACES = (
    "ecr.api",
    "ecr.dkr",
    "execute-api",
    "kms",
    "lambda",
    "logs",
    "monitoring",
    "sagemaker.api",
    "sagemaker.runtime",
    "sts",
)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """`vpc`: "none" leaves models and training jobs in SageMaker's own network; "own" makes one
    without a way to the internet, in `zones` (empty: the first two); "given" takes `subnets` and
    `security_groups` of one that is there, which has to have a way to S3.

    `interface_endpoints` are further services that the own network reaches. What the app itself
    needs there, it makes.
    """

    vpc: str = setting(one_of(NONE, OWN, GIVEN))
    zones: tuple[str, ...] | None = setting(optional(list_of(ZONE)))
    interface_endpoints: tuple[str, ...] | None = setting(optional(list_of(one_of(*INTERFACES))))
    subnets: tuple[str, ...] | None = setting(optional(list_of(SUBNET)))
    security_groups: tuple[str, ...] | None = setting(optional(list_of(SECURITY_GROUP)))

    def problems(self, region: str) -> Iterator[Problem]:
        """What is wrong of one setting beside another."""
        for name, (least, most), vpc, needed in (
            ("zones", ZONES, OWN, False),
            ("interface_endpoints", (1, len(INTERFACES)), OWN, False),
            ("subnets", SUBNETS, GIVEN, True),
            ("security_groups", SECURITY_GROUPS, GIVEN, True),
        ):
            value = getattr(self, name)
            if self.vpc != vpc and value:
                yield self._problem(name, f'empty where sd.network.vpc isn\'t "{vpc}"')
            elif self.vpc == vpc and (value or needed) and not least <= len(value or ()) <= most:
                yield self._problem(name, f"{least} to {most} of them")
        if any(zone[:-1] != region for zone in self.zones or ()):
            yield self._problem("zones", f"zones of the region, {region}")

    def _problem(self, name: str, allowed: str) -> Problem:
        return Problem(f"sd.network.{name}", getattr(self, name), allowed)
