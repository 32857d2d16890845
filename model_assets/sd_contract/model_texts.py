"""A model's small files, read one by one, with what is wrong with them collected."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from sd_contract.tensor_file import LFS_POINTER, POINTER, read_exactly

MAX_TEXT = 64 * 2**20

Open = Callable[[str], BinaryIO]


class Texts:
    """`sizes` in bytes, by path. What can't be read gives None and a line in `problems` that begins
    with its path."""

    def __init__(self, sizes: Mapping[str, int], open_file: Open) -> None:
        self.sizes, self._open = sizes, open_file
        self.problems: list[str] = []

    def read(self, path: str) -> bytes | None:
        size = self.sizes.get(path)
        if size is None:
            self.problems.append(f"{path} is missing")
        elif size == 0:
            self.problems.append(f"{path} is empty")
        elif size > MAX_TEXT:
            self.problems.append(f"{path} has {size:,} bytes; at most {MAX_TEXT:,} are read")
        else:
            with self._open(path) as content:
                found = read_exactly(content, size)
            if not found.startswith(LFS_POINTER):
                return found
            self.problems.append(f"{path} {POINTER}")
        return None

    def document(self, path: str) -> dict[str, Any] | None:
        """A JSON object."""
        text = self.read(path)
        if text is None:
            return None
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            self.problems.append(f"{path} is broken JSON ({error})")
            return None
        if isinstance(document, dict):
            return document
        self.problems.append(f"{path} is no JSON object")
        return None
