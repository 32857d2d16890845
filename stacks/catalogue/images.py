"""AWS Deep Learning Containers: which account holds a repository in which region, and what an
image's tag says of it."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "images.json"


@cache
def _accounts() -> dict[str, dict[str, str]]:
    accounts: dict[str, dict[str, str]] = json.loads(FILE.read_text())["accounts"]
    return accounts


@dataclass(frozen=True)
class BaseImage:
    """A container of AWS's in one region. The account differs by region and repository.

    `digest` is the manifest's where it is pinned. AWS builds a tag anew (patches of the system), so
    without a pin what it stands for is known when it is pulled, not at synth.
    """

    account: str
    region: str
    repository: str
    tag: str
    digest: str | None = None

    @classmethod
    def parse(cls, image: str, region: str, digest: str | None = None) -> "BaseImage":
        """From "repository:tag". Raises KeyError where AWS doesn't publish it in the region."""
        repository, tag = image.split(":")
        return cls(_accounts()[repository][region], region, repository, tag, digest)

    @property
    def registry(self) -> str:
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return f"{self.account}.dkr.ecr.{self.region}.{suffix}"

    @property
    def uri(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"

    @property
    def pinned(self) -> str:
        """With tag and digest, as docker takes them; without the digest where none is pinned."""
        return f"{self.uri}@{self.digest}" if self.digest else self.uri

    @property
    def reference(self) -> str:
        """By digest where it is pinned: SageMaker and CodeBuild take a tag or a digest, not both
        (AlgorithmSpecification.TrainingImage; build-env-ref-available)."""
        return f"{self.registry}/{self.repository}@{self.digest}" if self.digest else self.uri


def cuda_of(image: str) -> str | None:
    """The CUDA version in an image's tag, "12.4" for cu124; None where it names none."""
    found = re.search(r"(?<![a-z0-9])cu(\d{2,})(\d)(?![0-9])", image)
    return f"{found[1]}.{found[2]}" if found else None


def sdk_of(image: str) -> str | None:
    """The Neuron SDK in an image's tag, "2.26.0" for sdk2.26.0; None where it names none."""
    found = re.search(r"(?<![a-z0-9])sdk(\d+\.\d+\.\d+)", image)
    return found[1] if found else None


def published_in(repository: str) -> tuple[str, ...]:
    """The regions AWS publishes it in; KeyError for one that isn't AWS's, or not in the file."""
    return tuple(sorted(_accounts()[repository]))
