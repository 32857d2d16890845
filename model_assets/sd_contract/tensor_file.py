"""What a safetensors file says at its beginning: 8 bytes of length, little-endian, then JSON with
each tensor's dtype, shape and place in what follows (huggingface.co/docs/safetensors, "Format")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

MAX_HEADER = 100_000_000  # safetensors' own limit
DTYPE_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}
LFS_POINTER = b"version https://git-lfs"
POINTER = "is a git-lfs pointer, not the file itself (`git lfs pull` fetches it)"


class NotTensors(ValueError):
    """The text says what is wrong, without the file's name."""


@dataclass(frozen=True)
class Tensor:
    dtype: str
    shape: tuple[int, ...]
    start: int
    """In bytes after the header; `end` as well."""
    end: int


@dataclass(frozen=True)
class Header:
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    data_start: int
    """In bytes: where the tensors begin."""


def read_header(content: BinaryIO, size: int) -> Header:
    """Of a file of `size` bytes; reads its beginning only.

    Raises NotTensors unless the header is whole and its tensors fill the file to the last byte.
    """
    first = read_exactly(content, 8)
    if size == 0:
        raise NotTensors("is empty")
    if LFS_POINTER.startswith(first) and len(first) == 8:
        raise NotTensors(POINTER)
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length > MAX_HEADER:
        raise NotTensors("is no safetensors file")
    text = read_exactly(content, length)
    if 8 + length > size or len(text) < length:
        raise NotTensors(f"is cut off within its header ({size:,} bytes)")
    try:
        document = json.loads(text)
        metadata = dict(document.pop("__metadata__", None) or {})
        tensors = {name: _tensor(entry) for name, entry in document.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotTensors("has a broken safetensors header") from None
    _check_places(tensors, size - 8 - length)
    return Header(tensors, metadata, 8 + length)


def write_header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The beginning of a file that has these tensors at these places."""
    document: dict[str, Any] = {"__metadata__": dict(metadata)}
    for name, tensor in tensors.items():
        document[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [tensor.start, tensor.end],
        }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors are to begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text


def read_exactly(content: BinaryIO, size: int) -> bytes:
    """`size` bytes, or fewer where the content ends; a stream's read may give fewer at a time."""
    pieces = bytearray()
    while len(pieces) < size and (piece := content.read(size - len(pieces))):
        pieces += piece
    return bytes(pieces)


def _tensor(entry: Any) -> Tensor:
    start, end = map(int, entry["data_offsets"])
    return Tensor(str(entry["dtype"]), tuple(map(int, entry["shape"])), start, end)


def _check_places(tensors: Mapping[str, Tensor], size: int) -> None:
    """`size` is that of all tensors together."""
    reached = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        width = DTYPE_BYTES.get(tensor.dtype)
        if width is None:
            raise NotTensors(f"has {name} in {tensor.dtype}, which is not a known dtype")
        if tensor.start != reached or tensor.end - tensor.start != width * prod(tensor.shape):
            raise NotTensors(f"has a broken safetensors header: {name} doesn't fit its place")
        reached = tensor.end
    if reached > size:
        raise NotTensors(f"is cut off: {reached - size:,} bytes of its tensors are missing")
    if reached < size:
        raise NotTensors(f"has {size - reached:,} bytes behind its last tensor")
