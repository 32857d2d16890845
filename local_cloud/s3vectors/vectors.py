"""The vectors of one index, and the nearest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Metadata = Mapping[str, Any]
Matches = Callable[[Metadata], bool]


class Vectors:
    """Rows of a matrix that doubles when it is full. `metric` is "cosine" or "euclidean"."""

    def __init__(self, dimension: int, metric: str) -> None:
        self.dimension, self.metric = dimension, metric
        self._matrix: Floats = np.empty((1, dimension), np.float32)
        self._norms: Floats = np.empty(1, np.float32)
        self._keys: list[str] = []
        self._metadata: list[Metadata] = []
        self._rows: dict[str, int] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[str]:
        """The keys."""
        return iter(self._keys)

    def data(self, key: str) -> Floats:
        data: Floats = self._matrix[self._rows[key]]
        return data

    def metadata(self, key: str) -> Metadata:
        return self._metadata[self._rows[key]]

    def put(self, key: str, data: Floats, metadata: Metadata) -> None:
        """In the place of what has this key already."""
        row = self._rows.setdefault(key, len(self._keys))
        if row == len(self._keys):
            self._keys.append(key)
            self._metadata.append(metadata)
        if row == len(self._matrix):
            self._matrix = np.concatenate([self._matrix, np.empty_like(self._matrix)])
            self._norms = np.concatenate([self._norms, np.empty_like(self._norms)])
        self._metadata[row], self._matrix[row] = metadata, data
        self._norms[row] = np.linalg.norm(data)

    def delete(self, key: str) -> None:
        """The last row takes its place. One that isn't there is no error."""
        row = self._rows.pop(key, None)
        if row is None:
            return
        last, metadata = self._keys.pop(), self._metadata.pop()
        if last != key:
            end = len(self._keys)
            self._keys[row], self._metadata[row], self._rows[last] = last, metadata, row
            self._matrix[row], self._norms[row] = self._matrix[end], self._norms[end]

    def nearest(
        self, query: Floats, count: int, matches: Matches | None = None
    ) -> list[tuple[str, float]]:
        """Keys and distances, the nearest first, of those whose metadata match: first the filter,
        then the search, as an index in ENHANCED mode does (user guide, metadata filtering)."""
        rows = None
        if matches is not None:
            found = [row for row, metadata in enumerate(self._metadata) if matches(metadata)]
            rows = np.array(found, np.intp)
        distances = self._distances(query, rows)
        nearest = np.arange(len(distances))
        if count < len(distances):
            nearest = np.argpartition(distances, count)[:count]
        nearest = nearest[np.argsort(distances[nearest], kind="stable")]
        return [
            (self._keys[at if rows is None else rows[at]], float(distances[at])) for at in nearest
        ]

    def _distances(self, query: Floats, rows: NDArray[np.intp] | None) -> Floats:
        """1 - cosine, or the straight line's length (template reference, DistanceMetric)."""
        chosen = slice(len(self._keys)) if rows is None else rows
        matrix = self._matrix[chosen]
        if self.metric == "euclidean":
            lengths: Floats = np.linalg.norm(matrix - query, axis=1)
            return lengths
        cosines = matrix @ query / (self._norms[chosen] * np.linalg.norm(query))
        # Of a vector to itself, rounding makes it a little less than 0.
        distances: Floats = np.clip(1 - cosines, 0, 2)
        return distances
