"""`docker` as builds of the local cloud have it: login, build, tag, push, images, version.

No daemon: images are laid out and noted (see image_build.py) and registered with the emulated ECR.
Run as `python -m local_cloud.docker_shim`; SD_LOCAL_IMAGES names the image store.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local_cloud.dockerfile import DockerfileError
from local_cloud.image_build import build_image
from local_cloud.image_store import MANIFEST_TYPE, REFERENCE, ImageStore, manifest_of

# Options of `docker build` that take a value and change nothing here.
IGNORED_WITH_VALUE = (
    "--platform", "--network", "--progress", "--cache-from", "--cache-to", "--label", "--target",
    "--shm-size", "--memory", "--provenance", "--sbom", "--output", "--attest", "--builder",
)  # fmt: skip
IGNORED = ("--pull", "--no-cache", "--rm", "--force-rm", "--quiet", "-q", "--load", "--all-tags")


class UsageError(Exception):
    """The command line is not one this `docker` knows; exit status 125, as docker's."""


EcrFactory = Callable[[], Any]


def run(
    arguments: list[str], store: ImageStore, ecr: EcrFactory, password: Callable[[], str]
) -> str:
    """Do one command; what it prints. UsageError, DockerfileError or botocore's ClientError."""
    if arguments[:1] == ["buildx"] or arguments[:1] == ["image"]:
        arguments = arguments[1:]
    if not arguments:
        raise UsageError("docker: a command is needed")
    command, rest = arguments[0], arguments[1:]
    if command == "build":
        return _build(rest, store)
    if command == "tag":
        return _tag(rest, store)
    if command == "push":
        return _push(rest, store, ecr())
    if command == "login":
        return _login(rest, ecr(), password)
    if command in ("version", "--version", "info", "logout"):
        return "Docker version 0.0.0, the local cloud's: it lays images out and builds none"
    raise UsageError(f"docker: '{command}' is not a command of the local cloud's docker")


def _build(arguments: list[str], store: ImageStore) -> str:
    tags, build_args, dockerfile, context = [], {}, None, None
    words = iter(arguments)
    for word in words:
        name, has_value, value = word.partition("=")

        def given(inline: bool = bool(has_value), text: str = value) -> str:
            return text if inline else next(words, "")

        if name in ("-t", "--tag"):
            tags.append(given())
        elif name in ("-f", "--file"):
            dockerfile = given()
        elif name == "--build-arg":
            # "--build-arg NAME=x" as two words, or in one with a first "=".
            key, _, text = (value if has_value else next(words, "")).partition("=")
            build_args[key] = text or os.environ.get(key, "")
        elif name in IGNORED_WITH_VALUE:
            given()
        elif word.startswith("-"):
            if name not in IGNORED:
                raise UsageError(f"docker build: unknown option {word}")
        elif context is None:
            context = Path(word)
        else:
            raise UsageError(f"docker build: one context, not {context} and {word}")
    if context is None or not context.is_dir():
        raise UsageError(f"docker build: the context {context} is not a folder")
    path = Path(dockerfile) if dockerfile else context / "Dockerfile"
    if not path.is_file():
        raise UsageError(f"docker build: {path}: no such file")
    digest = build_image(store, context, path, build_args)
    for tag in tags:
        store.tag(tag, digest)
    record = store.load(digest)
    lines = [f"FROM {record.base_image}", *(f"RUN {line} (noted, not run)" for line in record.run)]
    return "\n".join([*lines, f"writing image {digest}", *(f"naming to {tag}" for tag in tags)])


def _tag(arguments: list[str], store: ImageStore) -> str:
    if len(arguments) != 2:
        raise UsageError("docker tag: a source and a target are needed")
    store.tag(arguments[1], _known(arguments[0], store))
    return ""


def _push(arguments: list[str], store: ImageStore, ecr: Any) -> str:
    names = [word for word in arguments if not word.startswith("-")]
    if len(names) != 1:
        raise UsageError("docker push: one image is needed")
    digest, match = _known(names[0], store), REFERENCE.match(names[0])
    if match is None:
        raise UsageError(f"docker push: {names[0]} is not in an ECR registry")
    # What a real push asks for on its way; there are no layers to send.
    ecr.batch_check_layer_availability(repositoryName=match["repository"], layerDigests=[digest])
    ecr.put_image(
        repositoryName=match["repository"],
        imageManifest=manifest_of(digest),
        imageManifestMediaType=MANIFEST_TYPE,
        imageTag=match["tag"] or "latest",
    )
    return f"{match['tag'] or 'latest'}: digest: {digest}"


def _login(arguments: list[str], ecr: Any, password: Callable[[], str]) -> str:
    given = next(
        (word.partition("=")[2] for word in arguments if word.startswith("--password=")), None
    )
    if given is None:
        if "--password-stdin" not in arguments:
            raise UsageError("docker login: --password-stdin is needed")
        given = password().strip()
    answer = ecr.get_authorization_token()["authorizationData"][0]
    expected = base64.b64decode(answer["authorizationToken"]).decode().partition(":")[2]
    if given != expected:
        raise UsageError("docker login: unauthorized: authentication required")
    return "Login Succeeded"


def _known(name: str, store: ImageStore) -> str:
    digest = store.resolve(name)
    if digest is None:
        raise UsageError(f"An image does not exist locally with the tag: {name}")
    return digest


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """The exit status; messages go where docker's go."""

    def ecr() -> Any:
        import boto3

        return boto3.client("ecr")

    try:
        store = ImageStore(Path(environment["SD_LOCAL_IMAGES"]))
        print(run(arguments, store, ecr, sys.stdin.read))
    except (UsageError, DockerfileError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 125
    except Exception as error:  # noqa: BLE001 - botocore's; imported only where it's needed
        print(f"denied: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
