"""Compiled parts that survive an interruption."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from inf2.part_store import PartStore

UNET = PurePosixPath("unet/64x64/model.pt")


def write_graph(path: Path) -> None:
    path.write_text("graph")


def test_finds_what_was_put(tmp_path: Path) -> None:
    put = PartStore(tmp_path).put(UNET, "a", write_graph)
    found = PartStore(tmp_path).get(UNET, "a")
    assert found == put == tmp_path / UNET
    assert found.read_text() == "graph"


def test_ignores_another_key_s(tmp_path: Path) -> None:
    PartStore(tmp_path).put(UNET, "a", write_graph)
    assert PartStore(tmp_path).get(UNET, "b") is None


def test_ignores_a_file_that_is_not_the_recorded_one(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    store.put(UNET, "a", write_graph).write_text("grap")
    assert store.get(UNET, "a") is None


def test_ignores_a_file_whose_record_has_not_come_yet(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    store.put(UNET, "a", write_graph)
    (tmp_path / UNET).with_suffix(".json").write_text("")
    assert store.get(UNET, "a") is None


def test_a_part_that_fails_leaves_nothing_to_find(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    store.put(UNET, "a", write_graph)

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        store.put(UNET, "a", fail)
    assert store.get(UNET, "a") is None
