"""Brings a diffusers pipeline into S3: from the hub, or from the folder that came with the build.

    python3 -m stacks.build_scripts.import_weights

with WeightsJob's environment. manifest.json is written last: an artifact that has one is whole.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO, Protocol

from sd_contract.manifest import NAME, WEIGHTS, Entry, Manifest
from sd_contract.model_folder import ModelFolder, NotAModel, folder_sizes, read_model
from stacks.build_scripts.environment import BuildEnvironment
from stacks.build_scripts.hub import Hub, HubError, Transport, open_url
from stacks.build_scripts.normalize import normalized
from stacks.build_scripts.retry import TRANSIENT, TransferError, retry
from stacks.build_scripts.upload import File, Store, checked


@dataclass(frozen=True)
class WeightsJob(BuildEnvironment):
    key: str
    source: str
    """The hub's URL, or a folder."""
    model_id: str
    revision: str
    license: str
    bucket: str
    prefix: str


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
        for path, size in folder_sizes(self.root).items():
            with (self.root / path).open("rb") as content:
                found.append(File(path, size, "sha256", file_digest(content, "sha256").hexdigest()))
        return found

    def open(self, path: str) -> BinaryIO:
        return (self.root / path).open("rb")


def import_weights(job: WeightsJob, source: Source, store: Store) -> None:
    """Raises HubError, NotAModel, TransferError; NotAModel before anything large is fetched."""
    listed = {file.path: file for file in source.files()}
    model = _read(source, listed, store)
    files = normalized(model, listed, source.open)
    stored = {
        path: Entry(made.file.size, store.put(path, made.file, made.open))
        for path, made in sorted(files.items())
    }
    origin = {"model_id": job.model_id, "revision": job.revision, "license": job.license}
    store.put_json(NAME, Manifest(job.key, WEIGHTS, stored, origin).to_json())
    total = sum(made.file.size for made in files.values())
    print(f"{len(stored)} files, {total:,} bytes in s3://{store.bucket}/{store.prefix}")


def _read(source: Source, listed: Mapping[str, File], store: Store) -> ModelFolder:
    sizes = {path: file.size for path, file in listed.items()}

    def opened(path: str) -> BinaryIO:
        # A text that came damaged is to be fetched again, not found to be wrong.
        return checked(listed[path], source.open(path))

    try:
        return retry(
            "the model's texts and headers",
            lambda: read_model(source.name, sizes, opened),
            store.say,
            store.pause,
        )
    except TRANSIENT as error:
        raise TransferError(f"{source.name} can't be read: {error}") from error


def source_of(job: WeightsJob, transport: Transport, store: Store) -> Source:
    """A hub says what it waits for, and waits, as the store does."""
    if job.source.startswith(("http://", "https://")):
        return Hub(job.source, job.model_id, job.revision, transport, store.say, store.pause)
    return Folder(Path(job.source))


def main() -> None:
    import boto3

    job = WeightsJob.from_env(os.environ)
    store = Store(boto3.client("s3"), job.bucket, job.prefix)
    try:
        import_weights(job, source_of(job, open_url, store), store)
    except (HubError, NotAModel, TransferError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
