"""Brings a diffusers pipeline into S3: from the hub, or from the folder that came with the build.

    python3 -m stacks.builds.import_weights

with SD_SOURCE (the hub's URL, or a folder), SD_MODEL_ID, SD_REVISION, SD_LICENSE, SD_KEY, SD_BUCKET
and SD_PREFIX in the environment.

manifest.json is written last: an artifact that has one is whole.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO, Protocol

from stacks.builds.hub import Hub, HubError, Transport, open_url
from stacks.builds.pipeline_files import INDEX, NotAPipeline, choose
from stacks.builds.upload import File, Store, TransferError


class Source(Protocol):
    """Where the files come from; `name` is for messages."""

    @property
    def name(self) -> str: ...
    def files(self) -> list[File]: ...
    def open(self, path: str) -> BinaryIO: ...


@dataclass(frozen=True)
class Folder:
    root: Path

    @property
    def name(self) -> str:
        return "the folder"

    def files(self) -> list[File]:
        found = []
        for path in sorted(self.root.rglob("*")):
            if path.is_file():
                with path.open("rb") as content:
                    digest = file_digest(content, "sha256").hexdigest()
                name = path.relative_to(self.root).as_posix()
                found.append(File(name, path.stat().st_size, "sha256", digest))
        return found

    def open(self, path: str) -> BinaryIO:
        return (self.root / path).open("rb")


def import_weights(env: Mapping[str, str], source: Source, store: Store) -> None:
    """Raises HubError, NotAPipeline, TransferError."""
    listed = {file.path: file for file in source.files()}
    if INDEX not in listed:
        raise NotAPipeline(source.name, [INDEX])
    with source.open(INDEX) as content:
        index = json.load(content)
    chosen = choose(listed, index, source.name)
    stored = {}
    for target, path in sorted(chosen.items()):
        file = listed[path]
        sha256 = store.put(target, file, lambda path=path: source.open(path))  # type: ignore[misc]
        stored[target] = {"size": file.size, "sha256": sha256}
    manifest = {
        "key": env["SD_KEY"],
        "kind": "weights",
        "model_id": env["SD_MODEL_ID"],
        "revision": env["SD_REVISION"],
        "license": env["SD_LICENSE"],
        "files": stored,
    }
    store.put_json("manifest.json", json.dumps(manifest, indent=1).encode())
    total = sum(listed[path].size for path in chosen.values())
    print(f"{len(stored)} files, {total:,} bytes in s3://{store.bucket}/{store.prefix}")


def source_from(env: Mapping[str, str], transport: Transport) -> Source:
    where = env["SD_SOURCE"]
    if where.startswith(("http://", "https://")):
        return Hub(where, env["SD_MODEL_ID"], env["SD_REVISION"], transport)
    return Folder(Path(where))


def main() -> None:
    import boto3

    env = os.environ
    store = Store(boto3.client("s3"), env["SD_BUCKET"], env["SD_PREFIX"])
    try:
        import_weights(env, source_from(env, open_url), store)
    except (HubError, NotAPipeline, TransferError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
