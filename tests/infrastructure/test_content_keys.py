"""Content keys: what changes them, what doesn't, and what that rebuilds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.components.weights import weights_key
from stacks.content import content_key, files_below, staged
from stacks.settings import ROOT, load
from tests.fakes.model_repository import BESIDES
from tests.infrastructure.support import CONTEXT, Synthesized, synthesize

PROJECT = "AWS::CodeBuild::Project"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.py").write_text("1")
    (tmp_path / "two.py").write_text("2")
    return tmp_path


def key(tree: Path, **values: object) -> str:
    return content_key(values, files_below(tree))


def test_bytes_names_and_values_count(tree: Path) -> None:
    keys = [key(tree), key(tree, size="64x64"), key(tree, size="128x128")]
    (tree / "two.py").write_text("3")
    keys.append(key(tree))
    (tree / "two.py").rename(tree / "three.py")
    keys.append(key(tree))
    assert len(set(keys)) == 5
    assert all(re.fullmatch(r"[0-9a-f]{64}", k) for k in keys)


def test_times_modes_order_and_leavings_do_not_count(tree: Path) -> None:
    before = key(tree, a=1, b=2)
    os.utime(tree / "two.py", (0, 0))
    (tree / "two.py").chmod(0o755)
    for left in ("__pycache__/two.cpython-311.pyc", "a/__pycache__/x.pyc", ".DS_Store"):
        path = tree / left
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert key(tree, b=2, a=1) == before


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no files"):
        files_below(tmp_path)


def test_staging_lays_files_out_by_name_and_goes(tree: Path) -> None:
    with staged({"x/y.py": tree / "two.py"}) as folder:
        assert (folder / "x" / "y.py").read_text() == "2"
    assert not folder.exists()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "model_assets" / "tiny" / "weights", tmp_path / "model"))


def key_of(**changes: str) -> str:
    """Of the one model's weights."""
    context = {f"sd.models.sd21-base.{name}": value for name, value in changes.items()}
    return weights_key(load({**CONTEXT, **context}).models["sd21-base"])


def model_key(folder: Path, **changes: str) -> str:
    return key_of(source="folder", folder=str(folder), **changes)


def test_weights_are_known_by_commit_or_by_content(model: Path) -> None:
    hub = key_of()
    assert hub != key_of(revision="f" * 40)
    assert hub == key_of(license="mit", folder=str(model))
    local = model_key(model)
    assert local == model_key(model, license="mit")
    assert local == model_key(Path(model.rename(model.parent / "moved")))
    config = model.parent / "moved" / "vae" / "config.json"
    config.write_text(config.read_text() + " ")
    assert local != model_key(model.parent / "moved")


def add_what_is_never_used(model: Path) -> None:
    for name, content in BESIDES.items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_bytes(content)


def test_what_is_never_used_changes_no_key(model: Path) -> None:
    before = model_key(model)
    add_what_is_never_used(model)
    assert model_key(model) == before


def test_the_import_is_sent_what_is_used_and_what_it_needs_to_run(
    model: Path, tmp_path: Path
) -> None:
    used = {p.relative_to(model).as_posix() for p in model.rglob("*") if p.is_file()}
    add_what_is_never_used(model)
    made = synthesize(
        tmp_path / "out", profile="local", **{"sd.models.sd21-base.folder": str(model)}
    )
    (source,) = (path.parent for path in made.folder.glob("asset.*/weights"))
    sent = {p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()}
    assert {name.removeprefix("weights/") for name in sent if name.startswith("weights/")} == used
    # As the build runs it, in that folder, as far as its first need of AWS.
    done = subprocess.run(
        [sys.executable, "-c", "from stacks.build_scripts.import_weights import main"],
        cwd=source,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def keys_of(app: Synthesized) -> dict[str, str]:
    """The keys of the builds in a synthesized app, by their logs' names."""
    found = {}
    for stack, run in app.every("Custom::BuildStep"):
        project = app.resources(stack, PROJECT)[run["Properties"]["Project"]["Ref"]]
        log = project["Properties"]["LogsConfig"]["CloudWatchLogs"]["StreamName"]
        found[log] = run["Properties"]["Key"]
    return found


@pytest.mark.parametrize(
    ("change", "rebuilt"),
    [
        # How it is asked for, not what it is.
        (
            {
                "sd.variants.g5.modes.standard.steps": "30",
                "sd.variants.djl.guidance_scale": "8",
                "sd.variants.g5.scaling.max_instances": "2",
            },
            set(),
        ),
        (
            {"sd.variants.djl.base_image": "djl-inference:0.26.0-deepspeed0.12.6-cu121"},
            {"image-djl"},
        ),
        ({"sd.variants.g5.base_image_digest": "sha256:" + "a" * 64}, {"image-g5"}),
        (
            {"sd.models.sd21-base.revision": "f" * 40},
            {"weights-sd21-base", "compile-inf2"},
        ),
    ],
    ids=["defaults", "base image", "base image's digest", "weights"],
)
def test_a_change_rebuilds_what_it_is_in(
    aws: Synthesized, tmp_path: Path, change: dict[str, str], rebuilt: set[str]
) -> None:
    before, after = keys_of(aws), keys_of(synthesize(tmp_path, **change))
    assert before.keys() == after.keys()
    assert {step for step in before if before[step] != after[step]} == rebuilt
