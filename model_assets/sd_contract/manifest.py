"""`manifest.json`, written last into every artifact: an artifact that has one is whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

NAME = "manifest.json"
WEIGHTS = "weights"
COMPILED = "compiled"


@dataclass(frozen=True)
class Entry:
    size: int
    """In bytes."""
    sha256: str


@dataclass(frozen=True)
class Manifest:
    key: str
    """The artifact's content key."""
    kind: str
    """WEIGHTS or COMPILED."""
    files: Mapping[str, Entry]
    """By path below the manifest's folder."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """What only one kind has, and where the model is from: model_id, revision, license."""

    def to_json(self) -> bytes:
        files = {name: vars(entry) for name, entry in sorted(self.files.items())}
        document = {"key": self.key, "kind": self.kind, **self.more, "files": files}
        return json.dumps(document, indent=1).encode()

    @classmethod
    def of(cls, folder: Path, key: str, kind: str, more: Mapping[str, Any]) -> Manifest:
        """With every file of `folder`."""
        files = {
            path.relative_to(folder).as_posix(): Entry(path.stat().st_size, sha256(path))
            for path in folder.rglob("*")
            if path.is_file() and path.name != NAME
        }
        return cls(key, kind, files, more)

    def write(self, folder: Path) -> None:
        """In place at once or not at all."""
        fresh = folder / f".{NAME}"
        fresh.write_bytes(self.to_json())
        os.replace(fresh, folder / NAME)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Raises ValueError that names what is wrong."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("is not valid JSON") from None
        if not isinstance(document, dict):
            raise ValueError("is not a JSON object")
        more = dict(document)
        key, kind, files = (more.pop(name, None) for name in ("key", "kind", "files"))
        if not isinstance(files, dict) or not files:
            raise ValueError("lists no files")
        return cls(
            str(key), str(kind), {name: _entry(name, entry) for name, entry in files.items()}, more
        )


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:  # hashlib.file_digest needs Python 3.11
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _entry(name: str, entry: Any) -> Entry:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} leaves the artifact")
    try:
        size, digest = entry["size"], str(entry["sha256"])
    except (KeyError, TypeError):
        raise ValueError(f"{name} has no size and sha256") from None
    if type(size) is not int:
        raise ValueError(f"{name} has no size")
    return Entry(size, digest)
