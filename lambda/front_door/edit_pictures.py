"""What an edit starts from: the bytes of its pictures, however they are given. Whether they are
pictures, the container says."""

import base64
import binascii
import re

from front_door.errors import InvalidRequest
from front_door.picture_bucket import PictureBucket
from sd_contract.fields import Problem
from sd_contract.invocation import Edit

_DATA_URL = re.compile(r"data:[^,;]{0,100}(;[^,;]{1,100})*;base64,", re.ASCII | re.IGNORECASE)


def load_edit(
    image: str | bytes, mask: str | bytes | None, strength: float | None, bucket: PictureBucket
) -> Edit:
    """Raises InvalidRequest, PictureNotFound, StorageError."""
    return Edit(
        image=_load("image", image, bucket),
        mask=None if mask is None else _load("mask", mask, bucket),
        strength=Edit.strength if strength is None else strength,
    )


def _load(field: str, given: str | bytes, bucket: PictureBucket) -> bytes:
    content = given if isinstance(given, bytes) else _load_text(field, given, bucket)
    if not content:
        raise InvalidRequest(Problem(field, f"{field}: is empty", "out_of_range"))
    return content


def _load_text(field: str, given: str, bucket: PictureBucket) -> bytes:
    key = bucket.key_of(given)
    if key:
        return bucket.load(key, field)
    if given.startswith(("http://", "https://")):
        message = (
            f"{field}: of URLs, only that of a picture which this API has made is read, whole as "
            "it was answered"
        )
        raise InvalidRequest(Problem(field, message, "out_of_range"))
    data_url = _DATA_URL.match(given)
    try:
        return base64.b64decode(given[data_url.end() if data_url else 0 :], validate=True)
    except (binascii.Error, ValueError):
        message = (
            f"{field}: must be a data URL (data:image/png;base64,…), base64 text, or the URL of a "
            "picture that this API has made"
        )
        raise InvalidRequest(Problem(field, message, "invalid_base64")) from None
