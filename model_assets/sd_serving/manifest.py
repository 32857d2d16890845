"""`manifest.json`, written last into every artifact: what lies in a model directory, and whether
it is what this container was deployed for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sd_serving.errors import ModelUnusable

NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    key: str
    kind: str
    """`weights` or `compiled`."""
    document: Mapping[str, object]
    """All of it, for what only one kind has."""


def check_manifest(model_dir: Path, key: str, kind: str) -> Manifest:
    """The manifest of `model_dir`, if it is the artifact `key` of that kind and every file it lists
    is there in its size. Digests were checked when the files were stored; hashing gigabytes again
    at each start would cost more than it finds.

    Raises ModelUnusable that names what is missing or differs.
    """
    path = model_dir / NAME
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelUnusable(
            f"{path} is missing: {model_dir} is empty, half written, or no artifact of ours"
        ) from None
    except (ValueError, RecursionError):
        raise ModelUnusable(f"{path} is not valid JSON") from None
    if not isinstance(document, dict):
        raise ModelUnusable(f"{path} is not a JSON object")
    for field, wanted in (("kind", kind), ("key", key)):
        found = document.get(field)
        if found != wanted:
            raise ModelUnusable(f"{path}: {field} is {found!r}, this container wants {wanted!r}")
    problems = _file_problems(model_dir, document.get("files"))
    if problems:
        raise ModelUnusable(f"{path}: " + "; ".join(problems))
    return Manifest(key=key, kind=kind, document=document)


def _file_problems(model_dir: Path, files: object) -> list[str]:
    if not isinstance(files, dict) or not files:
        return ["lists no files"]
    problems = []
    for name, entry in sorted(files.items()):
        size = entry.get("size") if isinstance(entry, dict) else None
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            problems.append(f"{name!r} leaves the model directory")
        elif not isinstance(size, int):
            problems.append(f"{name} has no size")
        elif not (model_dir / path).is_file():
            problems.append(f"{name} is missing")
        elif (found := (model_dir / path).stat().st_size) != size:
            problems.append(f"{name} has {found} bytes instead of {size}")
    return problems
