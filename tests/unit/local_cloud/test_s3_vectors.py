"""S3 Vectors' operations, their limits and their search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from local_cloud.api_shapes import BadRequest
from local_cloud.s3vectors.cloudformation import _Resource
from local_cloud.s3vectors.service import S3Vectors
from local_cloud.s3vectors.speed import measure
from local_cloud.settings import CloudSettings

BUCKET = "arn:aws:s3vectors:us-east-1:000000000000:bucket/pictures"
NAMES = {"vectorBucketName": "pictures", "indexName": "tiny.model"}
SHAPE = {"dataType": "float32", "dimension": 2, "distanceMetric": "cosine"}


class Gallery:
    """A bucket with one index, of 2 dimensions, in which `prompt` can't be filtered by."""

    def __init__(self, state: Path, **shape: Any) -> None:
        self.service = S3Vectors(CloudSettings(port=1, state=state))
        self.service.call("CreateVectorBucket", {"vectorBucketName": "pictures"})
        hidden = {"nonFilterableMetadataKeys": ["prompt"]}
        asked = {**NAMES, **SHAPE, "metadataConfiguration": hidden, **shape}
        self.service.call("CreateIndex", asked)

    def call(self, operation: str, **members: Any) -> dict[str, Any]:
        return self.service.call(operation, {**NAMES, **members})

    def put(self, key: str, data: Sequence[Any], **metadata: Any) -> None:
        vector = {"key": key, "data": {"float32": list(data)}, "metadata": metadata}
        self.call("PutVectors", vectors=[vector])

    def near(self, data: Sequence[Any], count: int = 10, **members: Any) -> list[str]:
        """Keys, the nearest first."""
        found = self.call(
            "QueryVectors", topK=count, queryVector={"float32": list(data)}, **members
        )
        return [vector["key"] for vector in found["vectors"]]

    def keys(self) -> set[str]:
        return {vector["key"] for vector in self.call("ListVectors")["vectors"]}


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(tmp_path)


def refused(
    gallery: Gallery, operation: str, code: str = "ValidationException", **members: Any
) -> str:
    with pytest.raises(BadRequest) as error:
        gallery.call(operation, **members)
    assert error.value.code == code
    return str(error.value)


def test_a_bucket_and_its_index_are_as_made(gallery: Gallery) -> None:
    index = gallery.call("GetIndex")["index"]
    assert index["indexArn"] == f"{BUCKET}/index/tiny.model"
    assert (index["dimension"], index["distanceMetric"]) == (2, "cosine")
    assert index["metadataConfiguration"] == {"nonFilterableMetadataKeys": ["prompt"]}
    by_arn = gallery.service.call("GetVectorBucket", {"vectorBucketArn": BUCKET})["vectorBucket"]
    assert by_arn["vectorBucketName"] == "pictures"
    assert by_arn["encryptionConfiguration"] == {"sseType": "AES256"}


def test_names_are_taken_once_and_a_bucket_goes_when_it_is_empty(gallery: Gallery) -> None:
    again = refused(gallery, "CreateIndex", "ConflictException", **SHAPE)
    assert again == "An index with the specified name already exists"
    bucket = {"vectorBucketName": "pictures"}
    for operation in ("CreateVectorBucket", "DeleteVectorBucket"):
        with pytest.raises(BadRequest, match=r"already exists|not empty"):
            gallery.service.call(operation, bucket)
    gallery.call("DeleteIndex")
    gallery.service.call("DeleteVectorBucket", bucket)
    assert refused(gallery, "GetIndex", "NotFoundException") == (
        "The specified index could not be found"
    )
    assert gallery.service.call("ListVectorBuckets", {}) == {"vectorBuckets": []}


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CreateVectorBucket", {"vectorBucketName": "Pictures"}),
        ("CreateVectorBucket", {"vectorBucketName": "pictures.of"}),
        ("CreateVectorBucket", {"vectorBucketName": "pi"}),
        ("CreateIndex", {**NAMES, **SHAPE, "indexName": "-tiny"}),
        ("CreateIndex", {**NAMES, **SHAPE, "indexName": "tiny", "dimension": 4097}),
        ("CreateIndex", {**NAMES, **SHAPE, "indexName": "tiny", "distanceMetric": "dot"}),
        ("CreateIndex", {**SHAPE, "indexName": "tiny"}),
        ("CreateIndex", {**NAMES, **SHAPE, "vectorBucketArn": BUCKET}),
        ("GetIndex", {"vectorBucketName": "pictures"}),
        ("GetIndex", {**NAMES, "indexArn": f"{BUCKET}/index/tiny.model"}),
        ("ListVectors", {**NAMES, "maxResults": 1001}),
        ("ListVectors", {**NAMES, "nextToken": "?"}),
        ("GetVectors", {**NAMES, "keys": [str(n) for n in range(101)]}),
        ("DeleteVectors", {**NAMES, "keys": [str(n) for n in range(501)]}),
        ("PutVectors", {**NAMES, "vectors": []}),
        ("PutVectors", {**NAMES, "vectors": [{"key": "k" * 1025, "data": {"float32": [1, 1]}}]}),
        ("PutVectors", {**NAMES, "vectors": [{"key": "k", "data": {"float32": [1, 1]}}] * 501}),
        ("QueryVectors", {**NAMES, "topK": 101, "queryVector": {"float32": [1, 1]}}),
        ("QueryVectors", {**NAMES, "topK": 0, "queryVector": {"float32": [1, 1]}}),
        ("QueryVectors", {**NAMES, "topK": 1, "queryVector": {"float32": [1, 1, 1]}}),
        ("QueryVectors", {**NAMES, "topK": 1, "queryVector": {"float32": [0, 0]}}),
    ],
)
def test_what_aws_would_refuse_is_refused(
    gallery: Gallery, operation: str, request_: dict[str, Any]
) -> None:
    with pytest.raises(BadRequest) as error:
        gallery.service.call(operation, request_)
    assert error.value.code == "ValidationException"


@pytest.mark.parametrize(
    ("operation", "members", "name"),
    [
        ("CreateIndex", {**SHAPE, "indexName": "other", "tags": {"a": "b"}}, "tags"),
        ("ListVectors", {"segmentCount": 2, "segmentIndex": 0}, "segmentCount"),
        ("QueryVectors", {"topK": 1, "queryVector": {"float32": [1, 1]}, "queryMode": "CLASSIC"},
         "queryMode"),
        ("CreateIndex", {**SHAPE, "indexName": "other",
                         "encryptionConfiguration": {"sseType": "aws:kms"}}, "AES256 alone"),
    ],
)  # fmt: skip
def test_what_the_app_doesn_t_use_says_so(
    gallery: Gallery, operation: str, members: dict[str, Any], name: str
) -> None:
    assert name in refused(gallery, operation, **members)
    assert "PutVectorBucketPolicy" in refused(
        gallery, "PutVectorBucketPolicy", "UnknownOperationException", policy="{}"
    )


@pytest.mark.parametrize(
    ("data", "metadata", "said"),
    [
        ([1, 2, 3], {}, "vector must have length 2, but has length 3"),
        ([0, 0], {}, "cosine distance does not support vectors with zero norm"),
        ([1, float("nan")], {}, "only valid floating-point values"),
        ([1, 10**400], {}, "only valid floating-point values"),
        ([1, 1e39], {}, "only valid floating-point values"),
        ([1, "1"], {}, "numbers only"),
        ([1, True], {}, "numbers only"),
        ([1, 1], {"size": {"w": 1}}, "'size' must be a string, number, boolean or a list"),
        ([1, 1], {"size": None}, "'size' must be a string, number, boolean or a list"),
        ([1, 1], {"size": "ü" * 1030}, "Filterable metadata must have at most 2048 bytes"),
        ([1, 1], {"prompt": "x" * 41_000}, "Metadata must have at most 40960 bytes"),
        ([1, 1], {f"k{n}": 1 for n in range(51)}, "Metadata object must have at most 50 keys"),
    ],
)
def test_a_record_that_is_wrong_is_named_and_none_is_written(
    gallery: Gallery, data: list[Any], metadata: dict[str, Any], said: str
) -> None:
    right = {"key": "right", "data": {"float32": [1, 1]}}
    wrong = {"key": "wrong", "data": {"float32": data}, "metadata": metadata}
    message = refused(gallery, "PutVectors", vectors=[right, wrong])
    assert message.startswith("Invalid record for key 'wrong': ")
    assert said in message
    assert gallery.keys() == set()


def test_a_long_prompt_is_kept_where_nothing_filters_by_it(gallery: Gallery) -> None:
    gallery.put("long", [1, 1], prompt="x" * 30_000)
    shown = gallery.call("GetVectors", keys=["long", "none"], returnMetadata=True)["vectors"]
    assert [(each["key"], len(each["metadata"]["prompt"])) for each in shown] == [("long", 30_000)]


def test_floats_are_kept_as_float32(gallery: Gallery) -> None:
    gallery.put("a", [0.1, 2])
    (shown,) = gallery.call("GetVectors", keys=["a"], returnData=True)["vectors"]
    assert shown == {"key": "a", "data": {"float32": [float(np.float32(0.1)), 2.0]}}


def test_the_nearest_by_angle_and_by_length(tmp_path: Path) -> None:
    points = {"east": [9, 0], "north": [0, 1], "north-east": [1, 1], "west": [-1, 0]}
    for metric, near, distances in (
        ("cosine", ["east", "north-east", "north", "west"], [0, 1 - 0.5**0.5, 1, 2]),
        ("euclidean", ["north-east", "north", "west", "east"], [1, 2**0.5, 2, 8]),
    ):
        gallery = Gallery(tmp_path, distanceMetric=metric)
        for key, data in points.items():
            gallery.put(key, data)
        found = gallery.call(
            "QueryVectors", topK=4, queryVector={"float32": [1, 0]}, returnDistance=True
        )
        assert found["distanceMetric"] == metric
        assert [vector["key"] for vector in found["vectors"]] == near
        assert [vector["distance"] for vector in found["vectors"]] == pytest.approx(distances)
        assert gallery.near([1, 0], 2) == near[:2]


def test_a_search_finds_what_a_sort_of_everything_finds(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, dimension=16)
    random = np.random.default_rng(1)
    rows = {f"v{n}": random.standard_normal(16) for n in range(300)}
    for key, row in rows.items():
        gallery.put(key, row.tolist(), third=int(key[1:]) % 3)
    # Rows move when others go, and take places that others had.
    gone = [f"v{n}" for n in range(0, 300, 7)]
    gallery.call("DeleteVectors", keys=[*gone, "never"])
    rows["v1"] = random.standard_normal(16)
    gallery.put("v1", rows["v1"].tolist(), third=1)
    left = {key: row for key, row in rows.items() if key not in gone}
    assert gallery.keys() == left.keys()

    query = random.standard_normal(16)
    cosines = {key: row @ query / np.linalg.norm(row) for key, row in left.items()}
    expected = sorted(left, key=lambda key: -cosines[key])
    assert gallery.near(query.tolist(), 100) == expected[:100]
    thirds = [key for key in expected if int(key[1:]) % 3 == 2]
    assert gallery.near(query.tolist(), 20, filter={"third": 2}) == thirds[:20]


FILTERED = {
    "a": {"model": "sd21", "width": 512, "tags": ["red", "heart"], "edited": False},
    "b": {"model": "sd21", "width": 768, "tags": ["blue"], "edited": True},
    "c": {"model": "tiny", "width": 1},
}


@pytest.mark.parametrize(
    ("condition", "keys"),
    [
        ({"model": "sd21"}, "ab"),
        ({"model": {"$eq": "tiny"}}, "c"),
        ({"model": "sd21", "width": 512}, "a"),
        ({"tags": "heart"}, "a"),
        ({"width": {"$gte": 512, "$lt": 768}}, "a"),
        ({"width": {"$gt": 512}}, "b"),
        ({"width": {"$lte": 512}}, "ac"),
        ({"model": {"$in": ["tiny", "other"]}}, "c"),
        ({"tags": {"$in": ["blue", "heart"]}}, "ab"),
        ({"model": {"$nin": ["tiny"]}}, "ab"),
        ({"model": {"$ne": "sd21"}}, "c"),
        ({"edited": {"$exists": True}}, "ab"),
        ({"edited": {"$exists": False}}, "c"),
        ({"edited": True}, "b"),
        ({"width": True}, ""),
        ({"model": {"$gt": 1}}, ""),
        ({"$and": [{"model": "sd21"}, {"edited": False}]}, "a"),
        ({"$or": [{"model": "tiny"}, {"width": 768}]}, "bc"),
    ],
)
def test_a_filter_chooses_by_metadata(
    gallery: Gallery, condition: dict[str, Any], keys: str
) -> None:
    for key, metadata in FILTERED.items():
        gallery.put(key, [1, 1], **metadata)
    assert sorted(gallery.near([1, 0], filter=condition)) == list(keys)


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"prompt": "a red heart"},
        {"$and": []},
        {"$or": {"model": "sd21"}},
        {"$not": {"model": "sd21"}},
        {"model": {}},
        {"model": {"$like": "sd"}},
        {"model": {"$in": []}},
        {"model": {"$in": [["sd21"]]}},
        {"model": ["sd21"]},
        {"model": None},
        {"width": {"$gt": "512"}},
        {"width": {"$gt": True}},
        {"edited": {"$exists": 1}},
    ],
)
def test_a_filter_that_isn_t_one_is_refused(gallery: Gallery, condition: dict[str, Any]) -> None:
    said = refused(
        gallery, "QueryVectors", topK=1, queryVector={"float32": [1, 0]}, filter=condition
    )
    assert said.startswith("Invalid filter: ")


def test_lists_come_in_pages(tmp_path: Path) -> None:
    """Vectors' pages end after 1 MB too, of which one of 4,096 dimensions takes 16 KB."""
    gallery = Gallery(tmp_path, dimension=4096)
    row = np.ones(4096).tolist()
    for n in range(70):
        gallery.put(f"v{n}", row)
    first = gallery.call("ListVectors")
    second = gallery.call("ListVectors", nextToken=first["nextToken"])
    assert (len(first["vectors"]), len(second["vectors"])) == (62, 8)
    assert "nextToken" not in second
    both = {each["key"] for each in (*first["vectors"], *second["vectors"])}
    assert both == {f"v{n}" for n in range(70)}

    bucket = {"vectorBucketName": "pictures"}
    gallery.service.call("CreateIndex", {**bucket, **SHAPE, "indexName": "another"})
    page = gallery.service.call("ListIndexes", {**bucket, "maxResults": 1})
    rest = gallery.service.call("ListIndexes", {**bucket, "nextToken": page["nextToken"]})
    names = [index["indexName"] for index in (*page["indexes"], *rest["indexes"])]
    assert names == ["another", "tiny.model"]
    assert "nextToken" not in rest
    chosen = gallery.service.call("ListIndexes", {**bucket, "prefix": "tiny"})["indexes"]
    assert [index["indexArn"] for index in chosen] == [f"{BUCKET}/index/tiny.model"]


def test_a_template_s_properties_are_the_api_s_members(tmp_path: Path) -> None:
    service = S3Vectors(CloudSettings(port=1, state=tmp_path))
    buckets = _Resource(service.call, "VectorBucket", "vectorBucket").type()
    indexes = _Resource(service.call, "Index", "index").type()
    bucket, found = buckets.create("SdGalleryStack-Vectors-ABC", {})
    assert bucket.endswith(":bucket/sdgallerystack-vectors-abc")
    assert found["VectorBucketArn"] == bucket
    props = {"VectorBucketArn": bucket, "DataType": "float32", "Dimension": "2",
             "DistanceMetric": "cosine",
             "MetadataConfiguration": {"NonFilterableMetadataKeys": ["prompt"]}}  # fmt: skip
    index, found = indexes.create("SdGalleryStack-Index-DEF", props)
    assert index == f"{bucket}/index/sdgallerystack-index-def"
    assert found["IndexArn"] == index
    assert "Dimension" in indexes.replacing
    with pytest.raises(ValueError, match=r"extraneous key \[dimensions\]"):
        indexes.create("other", {**props, "Dimensions": 2})
    with pytest.raises(ValueError, match="not empty"):
        buckets.delete(bucket, {})
    for kind, arn in ((indexes, index), (buckets, bucket)):
        kind.delete(arn, {})
        kind.delete(arn, {})


def test_the_command_says_how_long_queries_take() -> None:
    said = measure(count=600, dimension=8)
    assert said.startswith("600 vectors of 8 values")
    assert said.count("p50") == 3
