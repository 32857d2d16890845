"""The layer's build: what pip is asked for, what is packed, and that it works on its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import c2pa
import pytest

from stacks.build_scripts.build_layer import LayerJob, build, pack
from stacks.settings import ROOT

JOB = LayerJob(requirements="requirements-c2pa.txt", bucket="models", layer="layers/k.zip")
# Installs a package of three files, and leaves its own arguments beside them.
PIP = """
import json, pathlib, sys
target = pathlib.Path(sys.argv[sys.argv.index("--target") + 1], "thing")
target.mkdir(parents=True)
for name in ("__init__.py", "thing.so", "thing.rlib", "thing.d"):
    (target / name).write_text(name)
(target / "arguments.json").write_text(json.dumps(sys.argv[1:]))
"""


class FakeS3:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.archive: zipfile.ZipFile | None = None

    def upload_file(self, path: str, bucket: str, key: str) -> None:
        assert (bucket, key) == ("models", "layers/k.zip")
        with zipfile.ZipFile(path) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}


def test_what_pip_installs_is_packed_where_lambda_looks_for_it() -> None:
    s3 = FakeS3()
    build(JOB, s3, [sys.executable, "-c", PIP])
    arguments = json.loads(s3.files.pop("python/thing/arguments.json"))
    assert s3.files == {
        "python/thing/__init__.py": b"__init__.py",
        "python/thing/thing.so": b"thing.so",
    }
    for asked in ("--require-hashes", "--no-deps", "--only-binary"):
        assert asked in arguments
    assert arguments[-1] == JOB.requirements


def test_nothing_is_stored_where_pip_fails() -> None:
    s3 = FakeS3()
    with pytest.raises(subprocess.CalledProcessError):
        build(JOB, s3, [sys.executable, "-c", "raise SystemExit(1)"])
    assert s3.files == {}


def test_the_package_needs_nothing_that_is_not_in_the_layer(tmp_path: Path) -> None:
    """What it declares (cryptography, requests, toml) is for building it and for examples."""
    archive = tmp_path / "layer.zip"
    shutil.copytree(Path(c2pa.__file__).parent, tmp_path / "packages" / "c2pa")
    pack(tmp_path / "packages", archive)
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(tmp_path)
        unpacked = sum(each.file_size for each in zipped.infolist())
    assert unpacked < 30_000_000
    code = (
        f"import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
        f"sys.path.insert(0, {str(tmp_path / 'python')!r})\n"
        "import c2pa; print(c2pa.__file__, 'image/webp' in c2pa.Builder.get_supported_mime_types())"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [str(tmp_path / "python/c2pa/__init__.py"), "True"]


def test_what_is_tested_is_what_is_deployed() -> None:
    pin = re.compile(r"^c2pa-python==([\w.]+)", re.MULTILINE)
    files = ("requirements-dev.txt", "stacks/build_scripts/requirements-c2pa.txt")
    tested, deployed = ([*pin.findall((ROOT / name).read_text())] for name in files)
    assert tested == deployed != []
