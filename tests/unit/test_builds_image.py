"""The image build: what docker is told, and when nothing is built."""

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from stacks.builds.build_image import BuildFailed, build_image

BASE = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-inference:2.6.0"
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/images:" + "a" * 64
ENV = {
    "SD_BASE_IMAGE": BASE,
    "SD_IMAGE": IMAGE,
    "SD_REPOSITORY": "images",
    "SD_KEY": "a" * 64,
    "SD_DOCKERFILE": "context/g5/Dockerfile",
}


class FakeEcr:
    class exceptions:
        class ImageNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.tags: set[str] = set()

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> None:
        assert repositoryName == "images"
        if imageIds[0]["imageTag"] not in self.tags:
            raise self.exceptions.ImageNotFoundException

    def get_authorization_token(self) -> dict[str, Any]:
        token = base64.b64encode(b"AWS:pass:word").decode()
        return {"authorizationData": [{"authorizationToken": token}]}


class FakeDocker:
    """Fails at the subcommand `failing`; a push puts the tag, unless it fails."""

    def __init__(self, ecr: FakeEcr, failing: str = "") -> None:
        self.ecr, self.failing = ecr, failing
        self.ran: list[tuple[list[str], str]] = []

    def __call__(self, command: Sequence[str], standard_input: str) -> int:
        self.ran.append((list(command), standard_input))
        if command[1] == self.failing:
            return 1
        if command[1] == "push":
            self.ecr.tags.add(command[2].split(":")[-1])
        return 0


def test_it_logs_in_to_both_registries_builds_on_the_base_and_pushes() -> None:
    docker = FakeDocker(FakeEcr())
    build_image(ENV, docker.ecr, docker)
    (aws_s, ours), (build, push) = docker.ran[:2], docker.ran[2:]
    for (command, standard_input), image in ((aws_s, BASE), (ours, IMAGE)):
        assert command[-1] == image.split("/")[0]
        # On standard input: a command line is there for every process to read.
        assert standard_input == "pass:word"
        assert "pass:word" not in command
    assert f"BASE_IMAGE={BASE}" in build[0]
    assert build[0][build[0].index("--file") + 1] == "context/g5/Dockerfile"
    assert push[0] == ["docker", "push", IMAGE]


def test_a_tag_that_is_there_is_not_built_again() -> None:
    ecr = FakeEcr()
    ecr.tags = {"a" * 64}
    docker = FakeDocker(ecr)
    build_image(ENV, ecr, docker)
    assert docker.ran == []


@pytest.mark.parametrize("failing", ["login", "build", "push"])
def test_each_step_that_fails_is_named(failing: str) -> None:
    docker = FakeDocker(FakeEcr(), failing)
    with pytest.raises(BuildFailed, match=f"docker {failing}"):
        build_image(ENV, docker.ecr, docker)


def test_a_push_that_another_build_was_ahead_of_is_fine() -> None:
    ecr = FakeEcr()

    class OvertakenDocker(FakeDocker):
        def __call__(self, command: Sequence[str], standard_input: str) -> int:
            if command[1] == "push":
                ecr.tags.add("a" * 64)
            return super().__call__(command, standard_input)

    docker = OvertakenDocker(ecr, "push")
    build_image(ENV, ecr, docker)
    assert docker.ran[-1][0][1] == "push"
