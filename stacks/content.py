"""Content keys, and the files they are taken from.

A key is the SHA-256 of everything that determines an artifact: named values and the bytes of
files. The same files then make the CDK asset, so what was counted is what is built.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path

# Made by running the code, not part of it.
LEFT_OUT = ("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".DS_Store")


def files_below(root: Path, prefix: str = "") -> dict[str, Path]:
    """Every file of the tree by its POSIX path below `root`, put below `prefix`."""
    found = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not any(part in LEFT_OUT for part in relative.parts):
            found[f"{prefix}{relative.as_posix()}"] = path
    if not found:
        raise FileNotFoundError(f"no files in {root}")
    return found


def content_key(values: Mapping[str, object], files: Mapping[str, Path]) -> str:
    """64 hex digits. Order doesn't matter, nor do the files' times and modes."""
    digests = {}
    for name, path in files.items():
        with path.open("rb") as content:
            digests[name] = file_digest(content, "sha256").hexdigest()
    described = {"values": dict(values), "files": digests}
    return sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@contextmanager
def staged(files: Mapping[str, Path]) -> Iterator[Path]:
    """A temporary folder of symbolic links laid out by `files`' names.

    CDK copies an asset when its construct is made, so the folder may go right after.
    """
    with tempfile.TemporaryDirectory(prefix="sd-asset-") as folder:
        root = Path(folder)
        for name, path in files.items():
            link = root / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
        yield root
