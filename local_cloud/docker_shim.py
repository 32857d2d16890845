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
from local_cloud.image_build import BuildOptions, build_image
from local_cloud.image_store import (
    MANIFEST_TYPE,
    OCI_INDEX_TYPE,
    OCI_MANIFEST_TYPE,
    REFERENCE,
    ImageStore,
    index_of,
    manifest_of,
)

# Options of `docker build` that take a value and change nothing here.
IGNORED_WITH_VALUE = (
    "--platform", "--network", "--progress", "--cache-from", "--cache-to", "--target",
    "--shm-size", "--memory", "--builder",
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
        return _build(rest, store, ecr)
    if command == "tag":
        return _tag(rest, store)
    if command == "push":
        return _push(rest, store, ecr())
    if command == "login":
        return _login(rest, ecr(), password)
    if command in ("version", "--version", "info", "logout"):
        return "Docker version 0.0.0, the local cloud's: it lays images out and builds none"
    raise UsageError(f"docker: '{command}' is not a command of the local cloud's docker")


def _build(arguments: list[str], store: ImageStore, ecr: EcrFactory) -> str:
    tags, build_args, dockerfile, context = [], {}, None, None
    labels: dict[str, str] = {}
    attested, output = {"--provenance": "true", "--sbom": "false"}, "type=image"
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
        elif name == "--label":
            key, _, text = (value if has_value else next(words, "")).partition("=")
            labels[key] = text
        elif name in attested:
            attested[name] = given()
        elif name in ("-o", "--output"):
            output = given()
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
    media_type = _media_type(attested, output)
    digest = build_image(store, context, path, BuildOptions(build_args, labels, media_type))
    record = store.load(digest)
    _pull(record.base_image, ecr)
    for tag in tags:
        store.tag(tag, digest)
    lines = [f"FROM {record.base_image}", *(f"RUN {line} (noted, not run)" for line in record.run)]
    return "\n".join([*lines, f"writing image {digest}", *(f"naming to {tag}" for tag in tags)])


def _media_type(attested: Mapping[str, str], output: str) -> str:
    """Of what a push sends, by a docker that keeps its images in containerd, as docker 29 does by
    default: an index for the sake of attestations, else what the exporter is told
    (docs.docker.com/build/exporters/image-registry). An older one pushes Docker's types anyway."""
    options = dict(part.partition("=")[::2] for part in output.split(","))
    if options.get("type") != "image":
        raise UsageError(f"docker build: --output {output} can't be done here")
    if set(attested.values()) != {"false"}:
        return OCI_INDEX_TYPE
    return MANIFEST_TYPE if options.get("oci-mediatypes") == "false" else OCI_MANIFEST_TYPE


def _pull(base: str, ecr: EcrFactory) -> None:
    """What a pull asks ECR for; there is nothing to fetch."""
    match = REFERENCE.match(base)
    if match is None:
        return
    wanted = {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"]}
    answer = ecr().batch_get_image(
        registryId=match["registry"].split(".")[0],
        repositoryName=match["repository"],
        imageIds=[wanted],
    )
    if not answer["images"]:
        raise UsageError(f"docker build: failed to resolve source metadata for {base}: not found")


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
    repository, tag = match["repository"], match["tag"] or "latest"
    media_type = _misbehaviour(store) or store.load(digest).media_type
    # What a real push asks for on its way; there are no layers to send.
    ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])
    manifest = manifest_of(digest, media_type)
    if media_type == OCI_INDEX_TYPE:
        pushed = ecr.put_image(
            repositoryName=repository,
            imageManifest=manifest_of(digest, OCI_MANIFEST_TYPE),
            imageManifestMediaType=OCI_MANIFEST_TYPE,
        )
        manifest = index_of([pushed["image"]["imageId"]["imageDigest"]])
    ecr.put_image(
        repositoryName=repository,
        imageManifest=manifest,
        imageManifestMediaType=media_type,
        imageTag=tag,
    )
    return f"{tag}: digest: {digest}"


def _misbehaviour(store: ImageStore) -> str:
    """The media type in `<state>/faults/docker-pushes`, for a docker that heeds no option."""
    try:
        return (store.folder.parent / "faults" / "docker-pushes").read_text()
    except OSError:
        return ""


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
