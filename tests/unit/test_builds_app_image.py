"""The generator app's image build: what docker is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from stacks.build_scripts.build_app_image import AppImageBuilder
from stacks.build_scripts.build_image import BuildFailed
from tests.fakes.s3 import FakeS3
from tests.unit.test_builds_image import IMAGE, JOB, FakeEcr

BASE = "public.ecr.aws/docker/library/python:3.13-slim-bookworm"
OURS = IMAGE.split("/")[0]


@dataclass
class Building:
    """`failing` is the docker command that does."""

    failing: str = ""
    ecr: FakeEcr = field(default_factory=FakeEcr)
    s3: FakeS3 = field(default_factory=FakeS3)
    commands: list[Sequence[str]] = field(default_factory=list)

    def docker(self, command: Sequence[str], _standard_input: str) -> int:
        self.commands.append(command)
        if command[1] == self.failing:
            return 1
        if command[1] == "push":
            self.ecr.push("application/vnd.oci.image.manifest.v1+json")
        return 0

    def run(self) -> dict[str, Any]:
        """The record."""
        job = JOB.__class__(**{**vars(JOB), "base_image": BASE})
        AppImageBuilder(job, self.ecr, self.s3, self.docker, self.ecr.fetch).build()
        recorded: dict[str, Any] = json.loads(self.s3.objects[JOB.record])
        return recorded


def test_it_logs_in_to_our_registry_alone_builds_on_the_public_base_and_pushes() -> None:
    building = Building()
    assert building.run()["base_image"] == BASE
    login, build, push = building.commands
    assert login[-1] == OURS
    assert f"BASE_IMAGE={BASE}" in build
    assert push == ["docker", "push", IMAGE]


def test_one_that_is_there_is_not_built_again() -> None:
    building = Building()
    building.ecr.push("application/vnd.oci.image.manifest.v1+json")
    assert building.run()["image"] == IMAGE
    assert building.commands == []


@pytest.mark.parametrize("failing", ["login", "buildx", "push"])
def test_each_step_that_fails_is_named(failing: str) -> None:
    with pytest.raises(BuildFailed, match=f"docker {failing.removesuffix('x')}"):
        Building(failing).run()
