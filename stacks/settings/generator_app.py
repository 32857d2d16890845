"""`sd.app`: where the generator app runs."""

from collections.abc import Iterator
from dataclasses import dataclass

from stacks.settings.network import SUBNET
from stacks.settings.problems import Problem
from stacks.settings.rules import list_of, optional, setting

# A load balancer has to be in two zones at least (its user guide, application-load-balancers).
SUBNETS = (2, 16)


@dataclass(frozen=True, kw_only=True)
class GeneratorAppSettings:
    """`subnets` are public ones of one VPC, in as many zones; empty takes those of the account's
    default VPC, as ECS does."""

    subnets: tuple[str, ...] | None = setting(optional(list_of(SUBNET)))

    def problems(self) -> Iterator[Problem]:
        least, most = SUBNETS
        if self.subnets and not least <= len(self.subnets) <= most:
            yield Problem("sd.app.subnets", self.subnets, f"{least} to {most} of them, or empty")
