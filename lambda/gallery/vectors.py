"""The pictures' vectors in S3 Vectors: one a picture, by its id, in its model's index.

Source of shapes and limits: S3 Vectors' API reference and guide (Limitations and restrictions,
Metadata filtering).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from sd_contract.gallery import Kept


@dataclass(frozen=True)
class Wanted:
    """Of which pictures the nearest are wanted: `model` and `size` alone, `but` one."""

    model: str | None = None
    size: str | None = None
    but: str | None = None


@dataclass(frozen=True)
class Vectors:
    """`client()` gives botocore's of S3 Vectors, whose errors pass through; `bucket` is the vector
    bucket's name. What is asked of an index that is gone, with its model, finds nothing."""

    client: Callable[[], Any]
    bucket: str

    def put(self, pictures: Sequence[Kept], vector: Sequence[float]) -> None:
        """Of one prompt's pictures."""
        self.client().put_vectors(
            **self._place(pictures[0].index),
            vectors=[
                {
                    "key": picture.id,
                    "data": {"float32": list(vector)},
                    "metadata": {
                        "id": picture.id,
                        "model": picture.model,
                        "size": picture.size,
                        "expires_at": picture.expires_at,
                    },
                }
                for picture in pictures
            ],
        )

    def vector(self, picture: Kept) -> list[float] | None:
        """None: it isn't there yet."""
        try:
            found = self.client().get_vectors(
                **self._place(picture.index), keys=[picture.id], returnData=True
            )["vectors"]
        except ClientError as error:
            _only_if_gone(error)
            return None
        return list(found[0]["data"]["float32"]) if found else None

    def nearest(
        self, index: str, vector: Sequence[float], limit: int, wanted: Wanted, now_s: float
    ) -> list[tuple[str, float]]:
        """Ids and distances (1 - cosine), the nearest first."""
        conditions: list[dict[str, Any]] = [{"expires_at": {"$gt": int(now_s)}}]
        for name, operator, value in (
            ("model", "$eq", wanted.model),
            ("size", "$eq", wanted.size),
            ("id", "$ne", wanted.but),
        ):
            if value is not None:
                conditions.append({name: {operator: value}})
        asked = {
            **self._place(index),
            "topK": limit,
            "queryVector": {"float32": list(vector)},
            "filter": {"$and": conditions},
            "returnDistance": True,
        }
        found: list[tuple[str, float]] = []
        token: dict[str, str] = {}
        while True:
            try:
                page = self.client().query_vectors(**asked, **token)
            except ClientError as error:
                _only_if_gone(error)
                return []
            found += [(each["key"], float(each["distance"])) for each in page["vectors"]]
            if "nextToken" not in page:
                return found
            token = {"nextToken": page["nextToken"]}

    def delete(self, picture: Kept) -> None:
        try:
            self.client().delete_vectors(**self._place(picture.index), keys=[picture.id])
        except ClientError as error:
            _only_if_gone(error)

    def _place(self, index: str) -> dict[str, str]:
        return {"vectorBucketName": self.bucket, "indexName": index}


def _only_if_gone(error: ClientError) -> None:
    if error.response["Error"]["Code"] != "NotFoundException":
        raise error
