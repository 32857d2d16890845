"""`docker` as builds of the local cloud have it: login, buildx build and push.

No daemon: images are laid out and noted (see build.py) and registered with the emulated ECR.
Run as `python -m local_cloud.docker.shim`; SD_LOCAL_IMAGES names the image store.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from local_cloud.docker.build import BuildOptions, build_image
from local_cloud.docker.dockerfile import DockerfileError
from local_cloud.docker.store import (
    MANIFEST_TYPE,
    OCI_INDEX_TYPE,
    OCI_MANIFEST_TYPE,
    PUBLIC,
    REFERENCE,
    ImageStore,
    index_of,
    manifest_of,
)


class UsageError(Exception):
    """The command line is not one this `docker` knows; exit status 125, as docker's."""


class _DockerArguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")


def _pairs(words: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _parser() -> argparse.ArgumentParser:
    parser = _DockerArguments(prog="docker", add_help=False, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    login = commands.add_parser("login", add_help=False, allow_abbrev=False)
    login.add_argument("--username", required=True)
    login.add_argument("--password-stdin", required=True, action="store_true")
    login.add_argument("registry")
    build = commands.add_parser("buildx", add_help=False, allow_abbrev=False)
    build.add_argument("subcommand", choices=["build"])
    build.add_argument("--file", type=Path, required=True)
    build.add_argument("--tag", required=True)
    build.add_argument("--build-arg", action="append", default=[])
    build.add_argument("--label", action="append", default=[])
    build.add_argument("--provenance", choices=["false"])
    build.add_argument("--sbom", choices=["false"])
    build.add_argument("--output", choices=["type=image,oci-mediatypes=false"])
    build.add_argument("context", type=Path)
    push = commands.add_parser("push", add_help=False, allow_abbrev=False)
    push.add_argument("image")
    return parser


def run(arguments: Sequence[str], store: ImageStore, ecr: Any, password: Callable[[], str]) -> str:
    """Do one command; what it prints. UsageError, DockerfileError or botocore's ClientError."""
    options = _parser().parse_args(arguments)
    if options.command == "buildx":
        return _build(options, store, ecr)
    if options.command == "push":
        return _push(options.image, store, ecr)
    answer = ecr.get_authorization_token()["authorizationData"][0]
    expected = base64.b64decode(answer["authorizationToken"]).decode().partition(":")[2]
    if password().strip() != expected:
        raise UsageError("docker login: unauthorized: authentication required")
    return "Login Succeeded"


def _build(options: argparse.Namespace, store: ImageStore, ecr: Any) -> str:
    if not options.context.is_dir():
        raise UsageError(f"docker build: the context {options.context} is not a folder")
    if not options.file.is_file():
        raise UsageError(f"docker build: {options.file}: no such file")
    told = BuildOptions(_pairs(options.build_arg), _pairs(options.label), _media_type(options))
    digest = build_image(store, options.context, options.file, told)
    record = store.load(digest)
    _pull(record.base_image, ecr)
    store.tag(options.tag, digest)
    runs = (f"RUN {line} (noted, not run)" for line in record.run)
    named = (f"writing image {digest}", f"naming to {options.tag}")
    return "\n".join([f"FROM {record.base_image}", *runs, *named])


def _media_type(options: argparse.Namespace) -> str:
    """Of what a push sends, by a docker that keeps its images in containerd, as docker 29 does by
    default: an index for the sake of attestations, else what the exporter is told
    (docs.docker.com/build/exporters/image-registry). An older one pushes Docker's types anyway."""
    if not options.provenance:
        return OCI_INDEX_TYPE
    return MANIFEST_TYPE if options.output else OCI_MANIFEST_TYPE


def _pull(base: str, ecr: Any) -> None:
    """What a pull asks ECR for; there is nothing to fetch."""
    if PUBLIC.match(base):
        return
    match = REFERENCE.match(base)
    assert match is not None
    wanted = {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"]}
    answer = ecr.batch_get_image(
        registryId=match["registry"].split(".")[0],
        repositoryName=match["repository"],
        imageIds=[wanted],
    )
    if not answer["images"]:
        raise UsageError(f"docker build: failed to resolve source metadata for {base}: not found")


def _push(image: str, store: ImageStore, ecr: Any) -> str:
    digest, match = store.resolve(image), REFERENCE.match(image)
    if digest is None or match is None:
        raise UsageError(f"An image does not exist locally with the tag: {image}")
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


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit status; messages go where docker's go."""
    import boto3

    try:
        store = ImageStore(Path(environment["SD_LOCAL_IMAGES"]))
        ecr = boto3.client("ecr", region_name=environment["AWS_REGION"])
        print(run(arguments, store, ecr, sys.stdin.read))
    except (UsageError, DockerfileError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 125
    except Exception as error:  # noqa: BLE001 - botocore's, whatever they are
        print(f"denied: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
