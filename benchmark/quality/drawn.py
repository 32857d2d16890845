"""Pictures drawn already: a sweep that was stopped goes on where it was, and a setting more is
drawn alone."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import sd_contract
import sd_serving
from benchmark.quality.settings import name_of
from sd_contract.sampling import Sampling

DRAWS = [Path(str(package.__file__)).parent for package in (sd_contract, sd_serving)]


class Drawn:
    """A folder of PNGs by setting and number. Its own folder's name is of all that a picture
    depends on: `conditions`, the model's files as they lie there, the code that draws."""

    def __init__(self, folder: Path, conditions: Sequence[object], model: Path) -> None:
        sources = [path.read_text() for package in DRAWS for path in sorted(package.glob("*.py"))]
        weights = [
            (str(path.relative_to(model)), path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(model.rglob("*"))
            if path.is_file()
        ]
        content = json.dumps([conditions, weights, sources])
        self._folder = folder / hashlib.sha256(content.encode()).hexdigest()[:16]

    def read(self, sampling: Sampling, numbers: range) -> list[bytes] | None:
        """None unless all of them are there: a batch is drawn together."""
        paths = [self._path(sampling, number) for number in numbers]
        return [path.read_bytes() for path in paths] if all(map(Path.exists, paths)) else None

    def write(self, sampling: Sampling, numbers: range, pictures: Sequence[bytes]) -> None:
        for number, picture in zip(numbers, pictures, strict=True):
            path = self._path(sampling, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            half = path.with_suffix(".part")
            half.write_bytes(picture)
            os.replace(half, path)

    def _path(self, sampling: Sampling, number: int) -> Path:
        return self._folder / name_of(sampling) / f"{number:04}.png"
