"""AWS Deep Learning Containers: which account holds a repository in which region."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "data" / "images.json"


@cache
def _accounts() -> dict[str, dict[str, str]]:
    accounts: dict[str, dict[str, str]] = json.loads(FILE.read_text())["accounts"]
    return accounts


@dataclass(frozen=True)
class BaseImage:
    """A container of AWS's in one region. The account differs by region and repository."""

    account: str
    region: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, image: str, region: str) -> "BaseImage":
        """From "repository:tag". Raises KeyError where AWS doesn't publish it in the region."""
        repository, tag = image.split(":")
        return cls(_accounts()[repository][region], region, repository, tag)

    @property
    def registry(self) -> str:
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return f"{self.account}.dkr.ecr.{self.region}.{suffix}"

    @property
    def uri(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"


def base_image_problem(image: str, region: str) -> tuple[str, str] | None:
    """("repository" or "region", what is allowed) for an image that can't be had there."""
    repository = image.split(":")[0]
    accounts = _accounts()
    if repository not in accounts:
        return "repository", f"an image of {' | '.join(accounts)}"
    if region not in accounts[repository]:
        return "region", " | ".join(sorted(accounts[repository]))
    return None
