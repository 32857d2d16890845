"""What batches need of the variants, as their stacks wrote it."""

from dataclasses import dataclass

from front_door.variants import ParameterStore
from sd_contract.fleet import Fleet


class NoFleet(LookupError):
    """The variant has none: it went, or is of a stack older than batches."""


@dataclass(frozen=True)
class Fleets:
    """Read anew each time: it is for a batch at a time, not for a request."""

    ssm: ParameterStore
    prefix: str

    def find(self, variant: str) -> Fleet:
        """Raises NoFleet, botocore's errors, and ValueError for what isn't one."""
        pages = self.ssm.get_paginator("get_parameters_by_path").paginate(Path=self.prefix)
        for parameter in (each for page in pages for each in page["Parameters"]):
            if parameter["Name"] == f"{self.prefix}/{variant}":
                return Fleet.from_json(parameter["Value"])
        raise NoFleet(f"{self.prefix}/{variant}")
