"""What whoever makes pictures asks of the function that signs them, and what that answers.

Each is a JSON document. One that is larger than Lambda takes passes by an object in the pictures'
bucket.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sd_contract.limits import LAMBDA_BYTES

FOLDER = "signing/"
"""Of those objects. No picture's key begins with it, so nobody can name one to the API."""
DOCUMENT = "document"
# What stands around a document takes some hundred bytes.
_INLINE_BYTES = LAMBDA_BYTES - 1_024


@dataclass(frozen=True)
class SigningRequest:
    """Pictures of one format, all that a request has drawn. `model` is the model's id; `parent` the
    picture that an edit began with, None where all is drawn from text."""

    pictures: tuple[bytes, ...]
    media_type: str
    model: str
    parent: bytes | None = None

    def document(self) -> dict[str, Any]:
        return {
            **pictures_document(self.pictures),
            "media_type": self.media_type,
            "model": self.model,
            "parent": None if self.parent is None else _text(self.parent),
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> SigningRequest:
        """Raises KeyError, TypeError, ValueError for what isn't one."""
        parent = document["parent"]
        return cls(
            pictures=read_pictures(document),
            media_type=document["media_type"],
            model=document["model"],
            parent=None if parent is None else _bytes(parent),
        )


def pictures_document(pictures: tuple[bytes, ...]) -> dict[str, Any]:
    """The answer: the pictures signed, in their order."""
    return {"pictures": [_text(picture) for picture in pictures]}


def read_pictures(document: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Raises KeyError, TypeError, ValueError for what isn't an answer."""
    return tuple(_bytes(picture) for picture in document["pictures"])


@dataclass(frozen=True)
class Passage:
    """Between the two functions: packs documents into messages and out of them. `s3()` gives
    boto3's S3 client, whose errors pass through; most messages need none, and it takes a third of a
    second to make."""

    s3: Callable[[], Any]
    bucket: str

    def pack(self, document: Mapping[str, Any], key: str, *, inline: bool = True) -> dict[str, Any]:
        """`key` is the object's, should it come to one, which takes the place of what was there:
        so pictures that aren't signed yet don't stay. With `inline` false it does."""
        body = json.dumps(document).encode()
        if inline and len(body) <= _INLINE_BYTES:
            return {"key": key, DOCUMENT: document}
        self.s3().put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/json")
        return {"key": key}

    def unpack(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if DOCUMENT in message:
            document: Mapping[str, Any] = message[DOCUMENT]
        else:
            stored = self.s3().get_object(Bucket=self.bucket, Key=message["key"])
            document = json.loads(stored["Body"].read())
        return document


class SigningFailed(Exception):
    """The function has failed, or answered something else: a picture that isn't signed goes no
    further."""


@dataclass(frozen=True)
class Signer:
    """`functions()` is botocore's client of Lambda, whose errors pass through; `function` a name
    there."""

    functions: Callable[[], Any]
    function: str
    passage: Passage

    def sign(self, wanted: SigningRequest, name: str) -> tuple[bytes, ...]:
        """`name` is unlike any other's at the time. Raises SigningFailed."""
        event = self.passage.pack(wanted.document(), f"{FOLDER}{name}.json")
        try:
            images = read_pictures(self.passage.unpack(self._invoke(event)))
        except (KeyError, TypeError, ValueError) as error:
            raise SigningFailed(f"{self.function}: {type(error).__name__}: {error}") from error
        if len(images) != len(wanted.pictures):
            raise SigningFailed(
                f"{self.function}: {len(images)} of {len(wanted.pictures)} pictures"
            )
        return images

    def _invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        response = self.functions().invoke(
            FunctionName=self.function, Payload=json.dumps(event).encode()
        )
        text = response["Payload"].read()
        if "FunctionError" in response:
            raise SigningFailed(f"{self.function}: {text.decode()}")
        message: dict[str, Any] = json.loads(text)
        return message


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
