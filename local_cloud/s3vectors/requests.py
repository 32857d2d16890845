"""What of a request botocore's model doesn't say: names that exclude each other, floats, pages."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from local_cloud.api_shapes import BadRequest, check_request
from local_cloud.s3vectors.metadata import invalid
from local_cloud.s3vectors.vectors import Floats, Vectors

SERVICE = "s3vectors"
Request = Mapping[str, Any]
# What the app doesn't use.
NOT_HERE = ("tags", "queryMode", "segmentCount", "segmentIndex")


def check(operation: str, request: Request) -> None:
    """By botocore's model, and for which of the two ways of naming a resource it takes.
    BadRequest."""
    check_request(SERVICE, operation, _without_numbers(request))
    for member in NOT_HERE:
        if member in request:
            raise invalid(f"The local cloud's S3 Vectors has no {member}.")
    bucket = bool(request.get("vectorBucketName")), bool(request.get("vectorBucketArn"))
    if operation in ("ListVectorBuckets", "CreateVectorBucket"):
        return
    if operation in ("CreateIndex", "ListIndexes") or operation.endswith("VectorBucket"):
        if all(bucket) or not any(bucket):
            raise invalid("Must specify either vectorBucketName or vectorBucketArn but not both")
        return
    names = request.get("vectorBucketName"), request.get("indexName")
    if bool(request.get("indexArn")) == any(names) or any(names) != all(names):
        raise invalid("Must specify either indexArn or both vectorBucketName and indexName")


def _without_numbers(request: Request) -> dict[str, Any]:
    """Half a million floats a request are NumPy's to check."""
    checked = dict(request)
    if isinstance(vectors := request.get("vectors"), list):
        checked["vectors"] = [
            {**each, "data": _without_floats(each.get("data"))} if isinstance(each, dict) else each
            for each in vectors
        ]
    if "queryVector" in request:
        checked["queryVector"] = _without_floats(request["queryVector"])
    return checked


def _without_floats(data: Any) -> Any:
    if isinstance(data, dict) and isinstance(data.get("float32"), list):
        return {**data, "float32": []}
    return data


def floats(data: Request, vectors: Vectors) -> Floats:
    """A vector of the index's. ValueError says, in AWS's words, what is wrong with it (moto's
    VectorWrongDimension; spiceai/spiceai#7109)."""
    numbers = data.get("float32") or []
    if len(numbers) != vectors.dimension:
        raise ValueError(
            f"vector must have length {vectors.dimension}, but has length {len(numbers)}"
        )
    if not set(map(type, numbers)) <= {int, float}:
        raise ValueError("vector must contain numbers only")
    try:
        with np.errstate(over="ignore"):
            row: Floats = np.array(numbers, np.float64).astype(np.float32)
    except OverflowError:
        row = np.array([np.inf], np.float32)
    if not np.isfinite(row).all():
        raise ValueError("vector must contain only valid floating-point values")
    if vectors.metric == "cosine" and not row.any():
        raise ValueError("cosine distance does not support vectors with zero norm")
    return row


def encryption(request: Request) -> dict[str, str]:
    """S3's own keys (API reference, EncryptionConfiguration: the default)."""
    given = request.get("encryptionConfiguration") or {}
    if given.get("sseType", "AES256") != "AES256" or "kmsKeyArn" in given:
        raise invalid("The local cloud's S3 Vectors encrypts with AES256 alone.")
    return {"sseType": "AES256"}


def token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode()


def position(request: Request) -> str:
    """What the page before ended with; "" for the first."""
    try:
        return base64.b64decode(request.get("nextToken", ""), "-_", validate=True).decode()
    except ValueError as error:
        raise invalid("Invalid nextToken") from error


def conflict(message: str) -> BadRequest:
    """To be raised."""
    return BadRequest("ConflictException", message, 409)
