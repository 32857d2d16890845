"""Builds a variant's container image and pushes it under its content key, unless it's there.

    python3 -m stacks.builds.build_image

with SD_BASE_IMAGE, SD_IMAGE, SD_REPOSITORY, SD_KEY and SD_DOCKERFILE in the environment.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

CONTEXT = "context"

# Runs a command with its standard input; the exit status.
Run = Callable[[Sequence[str], str], int]


class BuildFailed(Exception):
    """The text is the reason the deploy is given."""


def build_image(env: Mapping[str, str], ecr: Any, run: Run) -> None:
    base, image = env["SD_BASE_IMAGE"], env["SD_IMAGE"]
    if _is_there(ecr, env):
        print(f"{image} is there already")
        return
    password = _registry_password(ecr)
    for registry in (base.split("/")[0], image.split("/")[0]):
        login = ["docker", "login", "--username", "AWS", "--password-stdin", registry]
        if run(login, password):
            raise BuildFailed(f"docker login to {registry} failed")
    build = ["docker", "build", "--file", env["SD_DOCKERFILE"]]
    if run([*build, "--build-arg", f"BASE_IMAGE={base}", "--tag", image, CONTEXT], ""):
        raise BuildFailed(f"docker build of {env['SD_DOCKERFILE']} failed")
    # A tag can't be pushed twice: where another build was faster, its image is as good as ours.
    if run(["docker", "push", image], "") and not _is_there(ecr, env):
        raise BuildFailed(f"docker push of {image} failed")


def _is_there(ecr: Any, env: Mapping[str, str]) -> bool:
    try:
        ecr.describe_images(
            repositoryName=env["SD_REPOSITORY"], imageIds=[{"imageTag": env["SD_KEY"]}]
        )
    except ecr.exceptions.ImageNotFoundException:
        return False
    return True


def _registry_password(ecr: Any) -> str:
    """Good for AWS's registries as well as ours."""
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().split(":", 1)[1]


def _run(command: Sequence[str], standard_input: str) -> int:
    print("+", " ".join(command), flush=True)
    return subprocess.run(command, input=standard_input, text=True, check=False).returncode


def main() -> None:
    import boto3

    try:
        build_image(os.environ, boto3.client("ecr"), _run)
    except BuildFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
