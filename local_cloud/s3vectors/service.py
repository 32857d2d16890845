"""S3 Vectors' operations, in the words that moto's have from AWS where no other source stands."""

from __future__ import annotations

import json
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.ministack.resource_arns import vectors_arn
from local_cloud.s3vectors.metadata import invalid, matching, metadata_problem
from local_cloud.s3vectors.requests import (
    Request,
    check,
    conflict,
    encryption,
    floats,
    position,
    token,
)
from local_cloud.s3vectors.vectors import Floats, Vectors
from local_cloud.settings import CloudSettings

# User guide, s3-vectors-limitations; how many dimensions there may be, and how many vectors and
# keys a request has, is in botocore's model.
MAX_TOP_K = 100
# API reference, ListVectors, which ends a page after 1 MB too; the other lists' is not published.
PAGE, PAGE_BYTES = 500, 1_000_000
# User guide, s3-vectors-buckets-naming; template reference, IndexName.
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]*[a-z0-9]")
INDEX_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")
# How an index says it filters before it searches: those of buckets made since 30 September 2026
# (API reference, UpdateIndexMode).
MODE = "ENHANCED"
# What a list has of a bucket or an index.
SUMMARY = {"vectorBucketName", "vectorBucketArn", "indexName", "indexArn", "creationTime"}
Answer = dict[str, Any]


@dataclass(frozen=True)
class Index:
    """`record` is what GetIndex says of it."""

    record: Answer
    vectors: Vectors
    not_filterable: frozenset[str]


class S3Vectors:
    """Buckets and indexes of one account and region, by their ARNs. A write is seen by the next
    read (user guide: strongly consistent)."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings, self._lock = settings, threading.Lock()
        self._buckets: dict[str, Answer] = {}
        self._indexes: dict[str, Index] = {}
        self._operations: Mapping[str, Callable[[Request], Answer]] = {
            "CreateVectorBucket": self._create_bucket,
            "GetVectorBucket": lambda request: {"vectorBucket": self._bucket(request)},
            "ListVectorBuckets": self._list_buckets,
            "DeleteVectorBucket": self._delete_bucket,
            "CreateIndex": self._create_index,
            "GetIndex": lambda request: {"index": self._index(request).record},
            "ListIndexes": self._list_indexes,
            "DeleteIndex": self._delete_index,
            "PutVectors": self._put,
            "GetVectors": self._get,
            "ListVectors": self._list,
            "QueryVectors": self._query,
            "DeleteVectors": self._delete,
        }

    def call(self, operation: str, request: Request) -> Answer:
        """Answer one operation; BadRequest is its error."""
        if operation not in self._operations:
            unknown = f"The local cloud has no S3 Vectors {operation}"
            raise BadRequest("UnknownOperationException", unknown, 404)
        check(operation, request)
        with self._lock:
            return self._operations[operation](request)

    def _create_bucket(self, request: Request) -> Answer:
        name, arn = request["vectorBucketName"], vectors_arn(self._settings, request)
        if not BUCKET_NAME.fullmatch(name):
            raise invalid("Invalid vector bucket name")
        if arn in self._buckets:
            raise conflict("A vector bucket with the specified name already exists")
        self._buckets[arn] = {
            "vectorBucketName": name,
            "vectorBucketArn": arn,
            "creationTime": time.time(),
            "encryptionConfiguration": encryption(request),
            "defaultIndexMode": MODE,
        }
        return {"vectorBucketArn": arn}

    def _list_buckets(self, request: Request) -> Answer:
        return _page("vectorBuckets", "vectorBucketName", self._buckets.values(), request)

    def _delete_bucket(self, request: Request) -> Answer:
        bucket = self._bucket(request)
        if self._indexes_of(bucket):
            raise conflict("The specified vector bucket is not empty")
        del self._buckets[bucket["vectorBucketArn"]]
        return {}

    def _create_index(self, request: Request) -> Answer:
        bucket = self._bucket({**request, "indexName": None})
        name, arn = request["indexName"], vectors_arn(self._settings, request)
        if not INDEX_NAME.fullmatch(name):
            raise invalid("Invalid index name")
        if arn in self._indexes:
            raise conflict("An index with the specified name already exists")
        config = request.get("metadataConfiguration")
        record = {
            "vectorBucketName": bucket["vectorBucketName"],
            "indexName": name,
            "indexArn": arn,
            "creationTime": time.time(),
            "dataType": request["dataType"],
            "dimension": request["dimension"],
            "distanceMetric": request["distanceMetric"],
            "encryptionConfiguration": encryption(request),
            "indexMode": MODE,
            **({"metadataConfiguration": config} if config else {}),
        }
        vectors = Vectors(request["dimension"], request["distanceMetric"])
        not_filterable = config["nonFilterableMetadataKeys"] if config else ()
        self._indexes[arn] = Index(record, vectors, frozenset(not_filterable))
        return {"indexArn": arn}

    def _list_indexes(self, request: Request) -> Answer:
        return _page("indexes", "indexName", self._indexes_of(self._bucket(request)), request)

    def _delete_index(self, request: Request) -> Answer:
        del self._indexes[self._index(request).record["indexArn"]]
        return {}

    def _put(self, request: Request) -> Answer:
        """All of them or none."""
        index = self._index(request)
        rows = [_checked(index, vector) for vector in request["vectors"]]
        for vector, row in zip(request["vectors"], rows, strict=True):
            index.vectors.put(vector["key"], row, vector.get("metadata") or {})
        return {}

    def _get(self, request: Request) -> Answer:
        vectors = self._index(request).vectors
        return {"vectors": [_shown(vectors, key, request) for key in request["keys"]
                            if key in vectors]}  # fmt: skip

    def _list(self, request: Request) -> Answer:
        """In an order that says nothing, as AWS promises none."""
        vectors, after = self._index(request).vectors, position(request)
        places = sorted((f"{zlib.crc32(key.encode()):08x}{key}", key) for key in vectors)
        left = [(place, key) for place, key in places if place > after]
        shown: list[Answer] = []
        size = 0
        for _, key in left[: request.get("maxResults", PAGE)]:
            shown.append(_shown(vectors, key, request))
            size += 4 * vectors.dimension + len(json.dumps(vectors.metadata(key)))
            if size > PAGE_BYTES:
                break
        more = {"nextToken": token(left[len(shown) - 1][0])} if len(shown) < len(left) else {}
        return {"vectors": shown, **more}

    def _query(self, request: Request) -> Answer:
        index, count = self._index(request), request["topK"]
        vectors = index.vectors
        if count > MAX_TOP_K or "nextToken" in request:
            raise invalid(f"topK must be between 1 and {MAX_TOP_K}, and its results are one page")
        try:
            query = floats(request["queryVector"], vectors)
        except ValueError as error:
            raise invalid(f"Invalid query vector: {error}") from error
        condition = request.get("filter")
        matches = None if condition is None else matching(condition, index.not_filterable)
        nearest = vectors.nearest(query, count, matches)
        distances = request.get("returnDistance")
        return {
            "vectors": [
                _shown(vectors, key, request) | ({"distance": distance} if distances else {})
                for key, distance in nearest
            ],
            "distanceMetric": vectors.metric,
        }

    def _delete(self, request: Request) -> Answer:
        vectors = self._index(request).vectors
        for key in request["keys"]:
            vectors.delete(key)
        return {}

    def _bucket(self, request: Request) -> Answer:
        if bucket := self._buckets.get(vectors_arn(self._settings, request)):
            return bucket
        raise BadRequest("NotFoundException", "The specified vector bucket could not be found", 404)

    def _index(self, request: Request) -> Index:
        if index := self._indexes.get(vectors_arn(self._settings, request)):
            return index
        raise BadRequest("NotFoundException", "The specified index could not be found", 404)

    def _indexes_of(self, bucket: Answer) -> list[Answer]:
        name = bucket["vectorBucketName"]
        records = (index.record for index in self._indexes.values())
        return [record for record in records if record["vectorBucketName"] == name]


def _checked(index: Index, vector: Request) -> Floats:
    try:
        row = floats(vector["data"], index.vectors)
        if problem := metadata_problem(vector.get("metadata") or {}, index.not_filterable):
            raise ValueError(problem)
    except ValueError as error:
        raise invalid(f"Invalid record for key '{vector['key']}': {error}") from error
    return row


def _shown(vectors: Vectors, key: str, request: Request) -> Answer:
    """A vector with what of it is asked for."""
    shown: Answer = {"key": key}
    if request.get("returnData"):
        shown["data"] = {"float32": vectors.data(key).tolist()}
    if request.get("returnMetadata"):
        shown["metadata"] = vectors.metadata(key)
    return shown


def _page(member: str, name: str, records: Iterable[Answer], request: Request) -> Answer:
    """Summaries of those whose name, which is the member `name`, begins with the prefix."""
    records = sorted(records, key=lambda record: str(record[name]))
    after, prefix = position(request), request.get("prefix", "")
    left = [r for r in records if r[name].startswith(prefix) and r[name] > after]
    page = left[: request.get("maxResults", PAGE)]
    more = {"nextToken": token(page[-1][name])} if len(page) < len(left) else {}
    return {member: [{key: r[key] for key in SUMMARY & r.keys()} for r in page], **more}
