"""Files into S3, each checked against its digest on the way."""

import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, BinaryIO

ATTEMPTS = 3
# What git holds itself; anything larger is a large file with a SHA-256, streamed.
MAX_IN_MEMORY = 64 * 1024 * 1024


class TransferError(Exception):
    """A file that didn't arrive as announced."""


@dataclass(frozen=True)
class File:
    """`kind` "sha256" or "git" (a git blob's SHA-1) says what `digest` is."""

    path: str
    size: int
    kind: str
    digest: str


@dataclass(frozen=True)
class Store:
    """A prefix of a bucket. `s3` is a boto3 client, `say` prints, `pause` waits for seconds."""

    s3: Any
    bucket: str
    prefix: str
    say: Callable[[str], None] = print
    pause: Callable[[float], None] = time.sleep

    def put(self, path: str, file: File, opened: Callable[[], BinaryIO]) -> str:
        """Stores `file` as `path` unless it is there; gives its SHA-256.

        Raises TransferError when it came damaged or broke off three times. What is damaged never
        becomes an object.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                stored = self._stored(path, file)
                if stored:
                    self.say(f"{path}: there already")
                    return stored
                self.say(f"{path}: {file.size:,} bytes")
                with opened() as content:
                    return self._send(path, file, content)
            except (OSError, HTTPException, TransferError) as error:
                if attempt == ATTEMPTS:
                    raise TransferError(
                        f"{file.path} failed {ATTEMPTS} times, last: {error}"
                    ) from error
                self.say(f"{path}: {error}; once more")
                self.pause(2.0**attempt)
        raise AssertionError("unreachable")

    def put_json(self, path: str, document: bytes) -> None:
        self.s3.put_object(
            Bucket=self.bucket,
            Key=self.prefix + path,
            Body=document,
            ContentType="application/json",
        )

    def _stored(self, path: str, file: File) -> str | None:
        """The SHA-256 of an object that an earlier import stored from this very file."""
        key = self.prefix + path
        # Listed first: where an object is absent, S3 answers HeadObject with 403 to a role whose
        # leave to list is for a prefix only.
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=key).get("Contents", ())
        if not any((found["Key"], found["Size"]) == (key, file.size) for found in listed):
            return None
        metadata = self.s3.head_object(Bucket=self.bucket, Key=key)["Metadata"]
        same = metadata.get("source") == f"{file.kind}:{file.digest}"
        return str(metadata["sha256"]) if same else None

    def _send(self, path: str, file: File, content: BinaryIO) -> str:
        body: BinaryIO | _Checked
        if file.kind == "git":
            if file.size > MAX_IN_MEMORY:
                raise TransferError(f"{file.path}: {file.size:,} bytes without a SHA-256")
            whole = content.read(file.size + 1)
            _check_git(file, whole)
            sha256, body = hashlib.sha256(whole).hexdigest(), io.BytesIO(whole)
        else:
            sha256, body = file.digest, _Checked(file, content)
        self.s3.upload_fileobj(
            body,
            self.bucket,
            self.prefix + path,
            ExtraArgs={"Metadata": {"sha256": sha256, "source": f"{file.kind}:{file.digest}"}},
        )
        return sha256


def _check_git(file: File, content: bytes) -> None:
    header = f"blob {len(content)}\0".encode()
    # git's own choice of hash; this guards against damage, not against forgery.
    found = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
    if len(content) != file.size or found != file.digest:
        raise TransferError(f"{file.path} came damaged: {len(content):,} bytes, {found}")


class _Checked(io.RawIOBase):
    """Reads on; at the end, raises TransferError unless size and SHA-256 are as announced, so that
    the upload it feeds is given up instead of completed."""

    def __init__(self, file: File, content: BinaryIO) -> None:
        self._file = file
        self._content = content
        self._hash = hashlib.sha256()
        self._size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._content.read(size) if size >= 0 else self._content.read()
        self._hash.update(piece)
        self._size += len(piece)
        ended = not piece or size < 0
        if ended and (self._size, self._hash.hexdigest()) != (self._file.size, self._file.digest):
            raise TransferError(
                f"{self._file.path} came damaged: {self._size:,} of {self._file.size:,} bytes, "
                f"SHA-256 {self._hash.hexdigest()}"
            )
        return piece
