"""S3 Vectors as a client, a role and a template meet it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.local_account import allow, arn, client_of_user, let_user
from tests.unit.local_cloud.test_cloudformation import Stack

BUCKET = arn("s3vectors", "bucket/served")
INDEX = f"{BUCKET}/index/tiny"
NAMES = {"vectorBucketName": "served", "indexName": "tiny"}
RESOURCES: dict[str, Any] = {
    "Vectors": {"Type": "AWS::S3Vectors::VectorBucket",
                "Properties": {"VectorBucketName": "served"}},
    "Tiny": {
        "Type": "AWS::S3Vectors::Index",
        "Properties": {
            "VectorBucketArn": {"Fn::GetAtt": ["Vectors", "VectorBucketArn"]},
            "IndexName": "tiny",
            "DataType": "float32",
            "Dimension": 2,
            "DistanceMetric": "cosine",
            "MetadataConfiguration": {"NonFilterableMetadataKeys": ["prompt"]},
        },
    },
}  # fmt: skip


def vector(key: str, *numbers: float, **metadata: Any) -> dict[str, Any]:
    return {"key": key, "data": {"float32": numbers}, "metadata": metadata}


@pytest.fixture(scope="module")
def stack(cloud: ChildCloud) -> Stack:
    deployed = Stack(cloud, "vectors", RESOURCES)
    deployed.create()
    return deployed


def test_a_template_s_index_takes_vectors_and_goes_with_them(
    cloud: ChildCloud, stack: Stack
) -> None:
    assert stack.outputs() == {"Vectors": BUCKET, "Tiny": INDEX}
    client = cloud.client("s3vectors")
    put = [vector("red", 1, 0, model="sd21", prompt="a red heart"), vector("blue", 0, 1)]
    client.put_vectors(indexArn=INDEX, vectors=put)
    found = client.query_vectors(
        **NAMES, topK=10, queryVector={"float32": [2, 1]}, filter={"model": "sd21"},
        returnMetadata=True, returnDistance=True,
    )  # fmt: skip
    (red,) = found["vectors"]
    assert red["metadata"] == {"model": "sd21", "prompt": "a red heart"}
    assert red["distance"] == pytest.approx(1 - 2 / 5**0.5)
    pages = client.get_paginator("list_vectors").paginate(**NAMES, PaginationConfig={"PageSize": 1})
    assert {each["key"] for page in pages for each in page["vectors"]} == {"red", "blue"}
    assert client.get_index(**NAMES)["index"]["creationTime"].year > 2000
    with pytest.raises(client.exceptions.ValidationException, match="must have length 2"):
        client.put_vectors(**NAMES, vectors=[vector("short", 1)])

    # Another dimension is another index, which a fixed name leaves no room for.
    stack.properties("Tiny")["Dimension"] = 3
    assert "already exists" in stack.refused("update")
    stack.properties("Tiny")["Dimension"] = 2
    stack.delete()
    with pytest.raises(client.exceptions.NotFoundException):
        client.get_vector_bucket(vectorBucketName="served")


def test_a_role_may_do_what_its_policy_says_on_this_index(cloud: ChildCloud) -> None:
    client = cloud.client("s3vectors")
    for name in ("guarded", "unguarded"):
        client.create_vector_bucket(vectorBucketName=name)
        client.create_index(
            vectorBucketName=name, indexName="tiny", dataType="float32", dimension=2,
            distanceMetric="cosine",
        )  # fmt: skip
    index = arn("s3vectors", "bucket/guarded/index/tiny")
    names = {"vectorBucketName": "guarded", "indexName": "tiny"}
    client.put_vectors(**names, vectors=[vector("a", 1, 0)])
    query = {"topK": 1, "queryVector": {"float32": [1, 0]}}
    reads = allow("s3vectors:QueryVectors s3vectors:ListVectors", index)
    reader = client_of_user(cloud, "vector-reader", "s3vectors", reads)

    assert reader.query_vectors(**names, **query)["vectors"] == [{"key": "a"}]
    assert reader.list_vectors(indexArn=index)["vectors"] == [{"key": "a"}]
    with pytest.raises(ClientError, match="s3vectors:PutVectors"):
        reader.put_vectors(**names, vectors=[vector("b", 1, 1)])
    with pytest.raises(ClientError, match="s3vectors:QueryVectors"):
        reader.query_vectors(**{**names, "vectorBucketName": "unguarded"}, **query)
    with pytest.raises(ClientError, match="s3vectors:DeleteVectorBucket"):
        reader.delete_vector_bucket(vectorBucketName="guarded")
    # What reads a vector's metadata takes another permission.
    for further in ({"returnMetadata": True}, {"filter": {"model": "sd21"}}):
        with pytest.raises(ClientError, match=r"403|s3vectors:GetVectors on resource") as error:
            reader.query_vectors(**names, **query, **further)
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError, match="s3vectors:GetVectors on resource"):
        reader.list_vectors(**names, returnData=True)
    let_user(cloud, "vector-reader", reads, allow("s3vectors:GetVectors", index))
    assert reader.query_vectors(**names, **query, filter={"model": "sd21"})["vectors"] == []


def test_a_request_has_its_size(cloud: ChildCloud) -> None:
    large = [vector(str(n), 1, 1, prompt="x" * 45_000) for n in range(480)]
    with pytest.raises(ClientError, match="Request body exceeds max allowed size"):
        cloud.client("s3vectors").put_vectors(**NAMES, vectors=large)
