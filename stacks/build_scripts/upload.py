"""Files into S3, each checked against its digest on the way."""

import hashlib
import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from stacks.build_scripts.retry import TRANSIENT, TransferError, retry

# Of a file that the import puts together itself.
MADE = "made"


@dataclass(frozen=True)
class File:
    """`kind` says what `digest` is: "sha256", "git" (a git blob's SHA-1), or "made": of what it is
    made from."""

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

        Raises TransferError when it came damaged or broke off every time. What is damaged never
        becomes an object.
        """

        def attempt() -> str:
            stored = self._stored(path, file)
            if stored:
                self.say(f"{path}: there already")
                return stored
            self.say(f"{path}: {file.size:,} bytes")
            with opened() as content:
                return self._send(path, file, content)

        try:
            return retry(path, attempt, self.say, self.pause)
        except TRANSIENT as error:
            raise TransferError(f"{file.path} can't be had: {error}") from error

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
        if file.kind == "sha256":
            self._upload(path, file, Checked(file, content), file.digest)
            return file.digest
        # The object carries its SHA-256, which is known when all of it has come.
        with tempfile.TemporaryFile() as whole:
            digest = hashlib.sha256()
            checked = content if file.kind == MADE else Checked(file, content)
            while piece := checked.read(1 << 20):
                digest.update(piece)
                whole.write(piece)
            whole.seek(0)
            self._upload(path, file, whole, digest.hexdigest())
            return digest.hexdigest()

    def _upload(self, path: str, file: File, body: "BinaryIO | Checked", sha256: str) -> None:
        self.s3.upload_fileobj(
            body,
            self.bucket,
            self.prefix + path,
            ExtraArgs={"Metadata": {"sha256": sha256, "source": f"{file.kind}:{file.digest}"}},
        )


class Checked(io.RawIOBase):
    """Reads on; at the end, or with the last byte, raises TransferError unless size and digest are
    as announced, so that the upload it feeds is given up instead of completed."""

    def __init__(self, file: File, content: BinaryIO) -> None:
        self._file = file
        self._content = content
        if file.kind == "git":
            # git's own choice of hash; this guards against damage, not against forgery.
            header = f"blob {file.size}\0".encode()
            self._hash = hashlib.sha1(header, usedforsecurity=False)
        else:
            self._hash = hashlib.sha256()
        self._size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._content.read(size) if size >= 0 else self._content.read()
        self._hash.update(piece)
        self._size += len(piece)
        ended = not piece or size < 0 or self._size >= self._file.size
        if ended and (self._size, self._hash.hexdigest()) != (self._file.size, self._file.digest):
            raise TransferError(
                f"{self._file.path} came damaged: {self._size:,} of {self._file.size:,} bytes, "
                f"digest {self._hash.hexdigest()}"
            )
        return piece

    def close(self) -> None:
        self._content.close()
        super().close()


def checked(file: File, content: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, Checked(file, content))
