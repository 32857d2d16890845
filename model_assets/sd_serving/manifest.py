"""Whether what lies in a model directory is what this container was deployed for, whole."""

from __future__ import annotations

from pathlib import Path

from sd_contract.manifest import NAME, Manifest
from sd_serving.model_unusable import ModelUnusable


def check_manifest(model_dir: Path, key: str, kind: str) -> Manifest:
    """The manifest of `model_dir`, if it is the artifact `key` of that kind and every file it lists
    is there in its size. Digests were checked when the files were stored; hashing gigabytes again
    at each start would cost more than it finds.

    Raises ModelUnusable that names what is missing or differs.
    """
    path = model_dir / NAME
    try:
        manifest = Manifest.from_json(path.read_bytes())
    except FileNotFoundError:
        raise ModelUnusable(
            f"{path} is missing: {model_dir} is empty, half written, or no artifact of ours"
        ) from None
    except ValueError as error:
        raise ModelUnusable(f"{path}: {error}") from None
    for name, found, wanted in (("kind", manifest.kind, kind), ("key", manifest.key, key)):
        if found != wanted:
            raise ModelUnusable(f"{path}: {name} is {found!r}, this container wants {wanted!r}")
    problems = []
    for name, entry in sorted(manifest.files.items()):
        file = model_dir / name
        if not file.is_file():
            problems.append(f"{name} is missing")
        elif (size := file.stat().st_size) != entry.size:
            problems.append(f"{name} has {size} bytes instead of {entry.size}")
    if problems:
        raise ModelUnusable(f"{path}: " + "; ".join(problems))
    return manifest
