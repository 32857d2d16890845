"""Parts that are compiled already, kept where an interrupted compile finds them again."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from sd_contract.manifest import sha256


class PartStore:
    """A folder that may be mirrored to S3 at any moment, as SageMaker does with its checkpoints.
    So nothing grows in it, and a file counts only once its record, which follows it, has its
    digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, path: PurePosixPath, key: str) -> Path | None:
        """`key` is of all that determines the graph, but for its size, which is in its path; one
        stored under another is ignored."""
        file, record = self._files(path)
        try:
            known = json.loads(record.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if not (file.is_file() and isinstance(known, dict) and known.get("key") == key):
            return None
        return file if known.get("sha256") == sha256(file) else None

    def put(self, path: PurePosixPath, key: str, write: Callable[[Path], None]) -> Path:
        """`write` makes the file at the path it is given, which is elsewhere."""
        file, record = self._files(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory() as elsewhere:
            fresh = Path(elsewhere) / path.name
            write(fresh)
            shutil.move(fresh, file)
        record.write_text(json.dumps({"key": key, "sha256": sha256(file)}))
        return file

    def _files(self, path: PurePosixPath) -> tuple[Path, Path]:
        file = self._folder / path
        return file, file.with_suffix(".json")
