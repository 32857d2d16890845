"""What changes a snapshot and what doesn't (docs/testing-your-fork.md), and the profiles'."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from stacks.settings import ROOT
from tests.infrastructure.support import CONTEXT, G5_ALONE, Synthesized, masked, synthesize

SYNTHESIZED_FROM = (
    "app.py",
    "cdk.json",
    "generator_app",
    "stacks",
    "lambda",
    "model_assets",
    "tests/infrastructure",
)
PRINT = """
import json, sys
from pathlib import Path
from tests.infrastructure.support import G5_ALONE, synthesize
print(json.dumps(synthesize(Path(sys.argv[1]), **G5_ALONE).templates))
"""
Templates = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def g5(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(tmp_path_factory.mktemp("g5"), **G5_ALONE)


def reviewed(templates: Templates) -> dict[str, list[str]]:
    """The lines of each stack's snapshot."""
    return {
        stack: json.dumps(masked(dict(template)), indent=2, sort_keys=True).splitlines()
        for stack, template in templates.items()
    }


def changed_lines(before: Templates, after: Templates) -> list[str]:
    ours, theirs = reviewed(before), reviewed(after)
    assert ours.keys() == theirs.keys()
    return [
        line
        for stack in ours
        for line in difflib.unified_diff(ours[stack], theirs[stack], n=0, lineterm="")
        if line[0] in "+-" and not line.startswith(("+++", "---"))
    ]


def test_code_changes_no_snapshot(g5: Synthesized, tmp_path: Path) -> None:
    """Of every function, of the containers, and of a build."""
    for name in SYNTHESIZED_FROM:
        source, place = ROOT / name, tmp_path / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "__snapshots__")
            shutil.copytree(source, place, ignore=ignored)
        else:
            shutil.copy(source, place)
    handlers = [*(tmp_path / "lambda").rglob("handler.py")]
    handlers += [*(tmp_path / "model_assets" / "sd_serving").glob("handler.py")]
    assert len(handlers) > 8
    build = tmp_path / "stacks" / "build_scripts" / "import_weights.py"
    for file in (*handlers, build, tmp_path / "generator_app" / "serve.py"):
        file.write_text(f"{file.read_text()}\nCHANGED = True\n")
    paths = [tmp_path, tmp_path / "lambda", tmp_path / "model_assets"]
    done = subprocess.run(
        [sys.executable, "-c", PRINT, str(tmp_path / "out")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    changed = json.loads(done.stdout)
    for stack in ("SdApiStack", "SdAppStack", "SdArtifactsStack", "SdBatchStack", "SdG5Stack"):
        assert changed[stack]["Resources"] != g5.templates[stack]["Resources"], stack
    assert changed_lines(g5.templates, changed) == []


def test_an_instance_type_is_one_line_and_what_is_registered_and_printed_of_it(
    g5: Synthesized, tmp_path: Path
) -> None:
    larger = synthesize(tmp_path, **G5_ALONE, **{"sd.variants.g5.instance_type": "ml.g5.2xlarge"})
    come = [line for line in changed_lines(g5.templates, larger.templates) if line[0] == "+"]
    assert len(come) == 4
    said = ("instance_type", " USD (1 x ml.g5.2xlarge, ")
    (line,) = (line for line in come if not any(words in line for words in said))
    assert line.split() == ["+", '"InstanceType":', '"ml.g5.2xlarge",']


@pytest.mark.parametrize("profile", sorted(CONTEXT["profiles"]))
def test_the_profile_is_as_reviewed(
    aws: Synthesized, profile: str, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    """Where its templates differ from what AWS gets without it. After a change that is meant:
    make snapshot."""
    ours, theirs = (
        {stack: masked(template) for stack, template in app.templates.items()}
        for app in (aws, synthesize(tmp_path, profile=profile))
    )
    assert differing(ours, theirs) == snapshot.use_extension(JSONSnapshotExtension)


def differing(ours: Any, theirs: Any) -> Any:
    """What `theirs` has in place of `ours`: null where it has nothing."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {
            name: differing(ours.get(name), theirs.get(name))
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)
        }
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [differing(*each) for each in zip(ours, theirs, strict=True) if each[0] != each[1]]
    return theirs
