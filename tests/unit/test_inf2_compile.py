"""The compile of the small model with the double, and what is left where it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inf2.compile import CompileError, compile_model, main, parse_job
from inf2.parity import ParityTooLow
from sd_contract.size import Size
from sd_serving.model_unusable import ModelUnusable
from stacks.build_scripts.training_job import ARGUMENTS, ENTRY_POINT
from stacks.compile_key import compile_sources
from tests.fakes.compiled_model import PART_KEYS, SIZES, artifact, job
from tests.fakes.serving import WEIGHTS, make_artifact

UNET = "unet/64x64/model.pt"
PARTS = [
    "vae_post_quant_conv/64x64/model.pt",
    "text_encoder/model.pt",
    "vae_encoder/64x64/model.pt",
    "vae_decoder/64x64/model.pt",
    UNET,
]


def manifest(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "manifest.json").read_bytes())
    return document


def reused(out: Path) -> dict[str, bool]:
    return {part["path"]: part["reused"] for part in manifest(out)["parts"]}


@pytest.fixture
def broken_unet(tmp_path: Path) -> Path:
    """The weights, with half of the UNet's file."""
    weights = tmp_path / "weights"
    shutil.copytree(WEIGHTS, weights)
    file = weights / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return weights


def test_manifest_tells_what_was_compiled_and_how_well(capsys: pytest.CaptureFixture[str]) -> None:
    document = manifest(artifact())
    assert document["kind"] == "compiled"
    assert document["sizes"] == ["64x64", "128x64"]
    assert (document["backend"], document["sdk"]) == ("torchscript", "2.26.0")
    assert document["parity"]["status"] == document["quality"]["parity"] == "passed"
    found = [picture["found_db"] for picture in document["parity"]["pictures"]]
    assert len(found) == 6
    assert min(found) == document["quality"]["pictures_db_min"] >= 40
    assert all(part["peak_rss_gib"] > 0.1 for part in document["parts"])
    with capsys.disabled():
        print(f"\nparity of the small model: {document['quality']}")


def test_artifact_has_each_size_s_graphs_and_one_text_encoder() -> None:
    files = manifest(artifact())["files"]
    graphs = sorted(name for name in files if name.endswith("model.pt"))
    assert graphs == [
        "text_encoder/model.pt",
        "unet/128x64/model.pt",
        "unet/64x64/model.pt",
        "vae_decoder/128x64/model.pt",
        "vae_decoder/64x64/model.pt",
        "vae_encoder/128x64/model.pt",
        "vae_encoder/64x64/model.pt",
        "vae_post_quant_conv/128x64/model.pt",
        "vae_post_quant_conv/64x64/model.pt",
    ]
    for name in ("tokenizer/vocab.json", "scheduler/scheduler_config.json", "vae/config.json"):
        assert name in files


def test_an_error_in_one_part_names_it_and_costs_only_that_part(
    broken_unet: Path, tmp_path: Path
) -> None:
    broken = job(tmp_path, weights=broken_unet)
    broken.out.mkdir()
    (broken.out / "manifest.json").write_text("of an earlier run")
    with pytest.raises(CompileError, match=r"^unet/64x64: ModelUnusable: \S+ can't be loaded"):
        compile_model(broken)
    assert not (broken.out / "manifest.json").exists()

    mended = job(tmp_path)
    compile_model(mended)
    assert reused(mended.out) == {path: path != UNET for path in PARTS}


def test_one_more_size_reuses_every_finished_graph(tmp_path: Path) -> None:
    compile_model(job(tmp_path))
    more = job(tmp_path, sizes=SIZES)
    compile_model(more)
    assert reused(more.out) == {
        **dict.fromkeys(PARTS, True),
        **{path.replace("64x64", "128x64"): False for path in PARTS if "64x64" in path},
    }


def test_another_key_of_one_part_compiles_that_part_alone(tmp_path: Path) -> None:
    first = job(tmp_path)
    compile_model(first)
    compile_model(replace(first, part_keys={**first.part_keys, "unet": "another"}))
    assert reused(first.out) == {path: path != UNET for path in PARTS}


def test_a_job_without_a_key_for_each_part_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="--part-keys"):
        parse_job(["--part-keys", '{"unet": "k"}'], root)


def test_pictures_below_a_bar_of_ones_own_fail_saying_by_how_much(tmp_path: Path) -> None:
    strict = job(tmp_path, parity_db=105.0)
    said = (
        r"dB is \d+\.\d\d dB below the bar of 105 dB that sd.kinds.neuron.compile.parity_db sets "
        r"\(64x64, seed"
    )
    with pytest.raises(ParityTooLow, match=said):
        compile_model(strict)
    assert not (strict.out / "manifest.json").exists()

    compile_model(job(tmp_path, parity_db=None))
    assert all(reused(strict.out).values())


def test_weights_of_another_key_are_refused(tmp_path: Path) -> None:
    weights = make_artifact(tmp_path / "weights")
    with pytest.raises(
        ModelUnusable, match="key is 'key-of-the-weights', this container wants 'b'"
    ):
        compile_model(job(tmp_path, weights=weights, weights_key="b"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """/opt/ml as SageMaker lays it out; the code is what the key is taken from, no more."""
    for name, path in compile_sources().items():
        target = tmp_path / "input" / "data" / "code" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (tmp_path / "input" / "data" / "weights").symlink_to(WEIGHTS)
    (tmp_path / "output" / "data").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    values = {
        "key": "k",
        "part-keys": json.dumps(PART_KEYS),
        "sizes": "64x64",
        "backend": "torchscript",
        "dtype": "float32",
        "sdk": "2.26.0",
        "parity-steps": "1",
        "parity-pictures": "1",
    }
    (tmp_path / "input" / "config").mkdir()
    (tmp_path / "input" / "config" / "hyperparameters.json").write_text(json.dumps(values))
    return tmp_path


def test_runs_as_a_training_job_does(root: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {"PATH": path, "SD_OPT_ML": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*ENTRY_POINT, *ARGUMENTS], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert manifest(root / "model")["key"] == "k"
    assert (root / "checkpoints" / UNET).is_file()
    assert not (root / "output" / "failure").exists()
    for path in PARTS:
        assert f"{Path(path).parent}: compiled in" in done.stdout


def test_leaves_the_reason_of_a_failure_for_the_service(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--backend", "cuda"], {"SD_OPT_ML": str(root)}) == 1
    reason = (root / "output" / "failure").read_text()
    assert "--backend: invalid choice: 'cuda'" in reason
    assert capsys.readouterr().out.splitlines()[-1] == f"FATAL: {reason}"


def test_flags_go_before_hyperparameters(root: Path) -> None:
    parsed = parse_job(["--sizes", "512x768,64x64", "--out", "x"], root)
    assert parsed.sizes == (Size(512, 768), Size(64, 64))
    assert parsed.out == Path("x")
    assert parsed.weights == root / "input" / "data" / "weights"
    assert (parsed.parity_db, parsed.parity_steps) == (None, 1)
    assert parse_job(["--parity-db", "40"], root).parity_db == 40.0
