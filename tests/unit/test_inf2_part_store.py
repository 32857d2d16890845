"""Compiled parts that survive an interruption; the compile's own tests find and reuse them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from inf2.part_store import PartStore

UNET = PurePosixPath("unet/64x64/model.pt")


def write_graph(path: Path) -> None:
    path.write_text("graph")


@pytest.mark.parametrize(
    ("suffix", "content"),
    [(".pt", "grap"), (".json", "")],
    ids=["not the recorded one", "its record has not come yet"],
)
def test_ignores_a_file_that_is_not_whole(tmp_path: Path, suffix: str, content: str) -> None:
    store = PartStore(tmp_path)
    put = store.put(UNET, "a", write_graph)
    assert store.get(UNET, "a") == put == tmp_path / UNET
    put.with_suffix(suffix).write_text(content)
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
