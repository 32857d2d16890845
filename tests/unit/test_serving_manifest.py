from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sd_contract.manifest import Manifest
from sd_serving.manifest import check_manifest
from sd_serving.model_unusable import ModelUnusable

ENTRY = {"size": 1, "sha256": "…"}


def write(folder: Path, **changes: Any) -> Path:
    (folder / "unet").mkdir(exist_ok=True)
    (folder / "unet" / "config.json").write_text("{}")
    document = {
        "key": "abc",
        "kind": "weights",
        "revision": "r1",
        "files": {"unet/config.json": {"size": 2, "sha256": "…"}},
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder


def test_hands_back_what_it_read(tmp_path: Path) -> None:
    manifest = check_manifest(write(tmp_path), "abc", "weights")
    assert (manifest.key, manifest.kind, manifest.more["revision"]) == ("abc", "weights", "r1")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"key": "other"}, "key is 'other', this container wants 'abc'"),
        ({"kind": "compiled"}, "kind is 'compiled', this container wants 'weights'"),
        ({"files": {}}, "lists no files"),
        ({"files": ["a"]}, "lists no files"),
        ({"files": {"gone.bin": ENTRY}}, "gone.bin is missing"),
        ({"files": {"unet": ENTRY}}, "unet is missing"),
        ({"files": {"unet/config.json": ENTRY}}, "has 2 bytes instead of 1"),
        ({"files": {"unet/config.json": {}}}, "unet/config.json has no size"),
        ({"files": {"unet/config.json": {"size": "2", "sha256": ""}}}, "has no size"),
        ({"files": {"../x": ENTRY}}, "leaves the artifact"),
        ({"files": {"/etc/passwd": ENTRY}}, "leaves the artifact"),
    ],
)
def test_refuses_what_differs(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelUnusable, match=says):
        check_manifest(write(tmp_path, **changes), "abc", "weights")


def test_lists_all_bad_files_at_once(tmp_path: Path) -> None:
    files = {"a": ENTRY, "b": ENTRY}
    with pytest.raises(ModelUnusable, match="a is missing; b is missing"):
        check_manifest(write(tmp_path, files=files), "abc", "weights")


def test_no_manifest_means_half_written(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"manifest\.json is missing"):
        check_manifest(tmp_path, "abc", "weights")


@pytest.mark.parametrize(("text", "says"), [("{", "not valid JSON"), ("[]", "not a JSON object")])
def test_refuses_a_broken_manifest(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ModelUnusable, match=says):
        check_manifest(tmp_path, "abc", "weights")


def test_a_manifest_is_read_as_it_was_written_and_lists_all_but_itself(tmp_path: Path) -> None:
    folder = write(tmp_path)
    written = Manifest.of(folder, "abc", "weights", {"revision": "r1"})
    assert [*written.files] == ["unet/config.json"]
    written.write(folder)
    assert check_manifest(folder, "abc", "weights") == written
