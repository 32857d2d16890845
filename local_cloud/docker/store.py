"""Images as the local cloud keeps them: what a Dockerfile laid out, without the layers.

An image is a folder `<state>/images/<digest>/` with `record.json` and `rootfs/`. Its ECR manifest
names the digest as its config, so a repository and tag lead back here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REFERENCE = re.compile(
    r"^(?P<registry>[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?)/"
    r"(?P<repository>[a-z0-9][a-z0-9._/-]*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)
# ECR's public gallery: pulls need no login.
PUBLIC = re.compile(r"^public\.ecr\.aws/[a-z0-9._/-]+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class ImageRecord:
    """What running an image takes. Paths inside are the image's own, absolute."""

    base_image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    workdir: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)
    run: tuple[str, ...] = ()
    """The RUN lines, recorded and not run."""
    media_type: str = MANIFEST_TYPE
    """Of the manifest that a push sends."""


class ImageStore:
    """The images of one local cloud. Also used by the `docker` shim, from a build's process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def rootfs(self, digest: str) -> Path:
        return self._folder(digest) / "rootfs"

    def save(self, digest: str, record: ImageRecord) -> None:
        """Write the record; its rootfs must be in place. The record's file makes it an image."""
        path = self._folder(digest) / "record.json"
        path.write_text(json.dumps(asdict(record), indent=1))

    def load(self, digest: str) -> ImageRecord:
        """KeyError where there is no such image."""
        try:
            data: dict[str, Any] = json.loads((self._folder(digest) / "record.json").read_text())
        except OSError as error:
            raise KeyError(digest) from error
        for name in ("entrypoint", "run"):
            data[name] = tuple(data[name])
        return ImageRecord(**data)

    def config(self, digest: str) -> dict[str, Any] | None:
        """An image's config, as a registry serves it; None where there is no such image."""
        try:
            record = self.load(digest)
        except KeyError:
            return None
        return {"config": {"Labels": dict(record.labels), "Env": dict(record.environment)}}

    def tag(self, name: str, digest: str) -> None:
        """Give an image a name on "this docker host", as `docker tag` does."""
        tags = self._tags()
        tags[name] = digest
        self._tags_file.write_text(json.dumps(tags))

    def resolve(self, name: str) -> str | None:
        """The digest behind a name given by `tag`, None where there is none."""
        return self._tags().get(name)

    @property
    def _tags_file(self) -> Path:
        return self.folder / "tags.json"

    def _tags(self) -> dict[str, str]:
        try:
            tags: dict[str, str] = json.loads(self._tags_file.read_text())
        except OSError:
            return {}
        return tags

    def _folder(self, digest: str) -> Path:
        return self.folder / digest.removeprefix("sha256:")


def manifest_of(digest: str, media_type: str = MANIFEST_TYPE) -> str:
    """The image manifest that is pushed for an image of this store."""
    kind = "docker.container.image" if media_type == MANIFEST_TYPE else "oci.image.config"
    config_type = f"application/vnd.{kind}.v1+json"
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {"mediaType": config_type, "digest": digest, "size": 0},
            "layers": [],
        }
    )


def index_of(digests: Sequence[str]) -> str:
    """An index of manifests, as a build with attestations pushes one."""
    manifests = [{"mediaType": OCI_MANIFEST_TYPE, "digest": d, "size": 0} for d in digests]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX_TYPE, "manifests": manifests})


def digest_in(manifest: str) -> str | None:
    """The image digest a manifest names, None where it is not one of `manifest_of`."""
    try:
        digest = json.loads(manifest)["config"]["digest"]
    except (ValueError, KeyError, TypeError):
        return None
    return digest if isinstance(digest, str) else None
