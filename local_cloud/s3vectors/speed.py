"""`python -m local_cloud vectors`: how long a query takes over many vectors, here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from local_cloud.s3vectors.service import MAX_TOP_K, S3Vectors
from local_cloud.settings import CloudSettings

QUERIES, TOP, BATCH = 100, 10, 500
INDEX = {"vectorBucketName": "measured", "indexName": "measured"}


def measure(count: int, dimension: int) -> str:
    """Lines of p50 and p95, in milliseconds, of QueryVectors over `count` random vectors of
    `dimension` values, with and without a filter that one in ten passes. Calls the service itself:
    no HTTP, no IAM."""
    service = S3Vectors(CloudSettings(port=0, state=Path()))
    service.call("CreateVectorBucket", {"vectorBucketName": INDEX["vectorBucketName"]})
    shape = {"dataType": "float32", "dimension": dimension, "distanceMetric": "cosine"}
    service.call("CreateIndex", {**INDEX, **shape})
    random = np.random.default_rng(0)
    for first in range(0, count, BATCH):
        rows = random.standard_normal((min(BATCH, count - first), dimension)).tolist()
        vectors = [
            {"key": f"{number:09}", "data": {"float32": row}, "metadata": {"model": number % 10}}
            for number, row in enumerate(rows, first)
        ]
        service.call("PutVectors", {**INDEX, "vectors": vectors})
    queries = random.standard_normal((QUERIES, dimension)).tolist()
    lines = [
        f"{count:,} vectors of {dimension:,} values, {QUERIES} queries, exact, by NumPy, here:"
    ]
    for name, top, further in (
        (f"the nearest {TOP}", TOP, {}),
        (f"the nearest {MAX_TOP_K}", MAX_TOP_K, {}),
        (f"the nearest {TOP} of a tenth", TOP, {"filter": {"model": 3}}),
    ):
        times = [_took(service, query, top, further) for query in queries]
        p50, p95 = np.percentile(times, (50, 95))
        lines.append(f"  {name:<25} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms")
    return "\n".join(lines)


def _took(service: S3Vectors, query: list[float], top: int, further: Mapping[str, Any]) -> float:
    request = {**INDEX, "topK": top, "queryVector": {"float32": query}, **further}
    start = time.perf_counter()
    service.call("QueryVectors", request)
    return (time.perf_counter() - start) * 1000
