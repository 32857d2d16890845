"""`djl_python`'s Input and Output as of djl-serving v0.27.0 (engines/python/setup/djl_python:
inputs.py, outputs.py, pair_list.py), as much of them as model.py and the host use.

`provide` puts them where `from djl_python import Input, Output` finds them, so that model.py is the
same file here and in the image.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

BATCH_SIZE = "batch_size"


class PairList:
    """Keys and values in order; keys may repeat or be None."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []
        self.values: list[bytearray] = []

    def add(self, key: str | None = None, value: bytes | bytearray | None = None) -> None:
        if value is not None:  # DJL drops None values silently
            self.keys.append(key)
            self.values.append(bytearray(value))

    def size(self) -> int:
        return len(self.keys)

    def value_at(self, index: int) -> bytearray:
        return self.values[index]

    def items(self) -> Iterable[tuple[str | None, bytearray]]:
        return zip(self.keys, self.values, strict=True)


class Input:
    """A request, or several: then every key carries `batch_NNN.` and `batch_size` is set."""

    def __init__(self) -> None:
        self.properties: dict[str, Any] = {}
        self.content = PairList()

    def get_batches(self) -> list[Input]:
        if BATCH_SIZE not in self.properties:
            return [self]
        batch = [Input() for _ in range(int(self.properties[BATCH_SIZE]))]
        for key, value in self.properties.items():
            if key.startswith("batch_") and key != BATCH_SIZE:
                batch[int(key[6:9])].properties[key[10:]] = value
        for name, data in self.content.items():
            prefixed = name or ""
            batch[int(prefixed[6:9])].content.add(prefixed[10:], data)
        return batch

    def get_properties(self) -> dict[str, Any]:
        return self.properties

    def get_property(self, key: str) -> Any:
        """Case doesn't matter, as header names come the way the client wrote them."""
        wanted = key.lower()
        return next((v for k, v in self.properties.items() if k.lower() == wanted), None)

    def get_as_bytes(self) -> bytearray | None:
        """The content under "data", else the first; None without content."""
        names = self.content.keys
        return self.content.values[names.index("data") if "data" in names else 0] if names else None


class Output:
    """An answer. In a batch it has one content for each request, under `batch_N.`, and one code
    and one set of properties for all of them."""

    def __init__(self, code: int = 200, message: str = "OK") -> None:
        self.code = code
        self.message = message
        self.properties: dict[str, str] = {}
        self.content = PairList()
        self._finalize: Callable[[], object] | None = None

    def __getstate__(self) -> dict[str, object]:
        """What goes over to the host."""
        return {**vars(self), "_finalize": None}

    def error(self, error: str) -> Output:
        self.code, self.message = 424, "prediction failure"
        self.add_property("content-type", "application/json")
        return self.add({"code": self.code, "message": self.message, "error": error})

    def finalize(self, finalize_function: Callable[..., object], *args: object) -> Output:
        """Called once this answer is on its way to DJL."""
        self._finalize = lambda: finalize_function(*args)
        return self

    def execute_finalize(self) -> None:
        if self._finalize:
            self._finalize()

    def add_property(self, key: str, val: str) -> Output:
        self.properties[key] = val
        return self

    def add(self, value: Any, key: str | None = None, batch_index: int | None = None) -> Output:
        if batch_index is not None:
            key = f"batch_{batch_index}.{key or ''}"
        if isinstance(value, str):
            value = value.encode("utf-8")
        elif not isinstance(value, bytes | bytearray):
            separators = (",", ":")
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2,
                              separators=separators)  # fmt: skip
            value = text.encode("utf-8")
        self.content.add(key, value)
        return self


def provide() -> None:
    """Makes `djl_python` importable with these classes, in this process."""
    package = ModuleType("djl_python")
    vars(package).update(Input=Input, Output=Output)
    sys.modules["djl_python"] = package
