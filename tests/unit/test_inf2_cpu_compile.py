"""The build that compiles by itself, without a training job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stacks.build_scripts.cpu_compile import CompileJob, run
from tests.fakes.sagemaker import FakeAws, fake_aws

JOB = CompileJob(
    bucket="models",
    weights_prefix="weights/w/",
    work_prefix="compile-jobs/p/",
    target_prefix="compiled/k/",
    hyperparameters={"key": "k", "backend": "neuronx"},
)


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with fake_aws() as fake:
        fake.objects = {
            "models/weights/w/unet/config.json": b"{}",
            "models/compile-jobs/p/checkpoints/text_encoder/model.pt": b"earlier",
        }
        yield fake


def names(aws: FakeAws, prefix: str) -> list[str]:
    start = f"models/{prefix}"
    return [name.removeprefix(start) for name in aws.objects if name.startswith(start)]


def test_compiles_what_is_in_s3_and_publishes_it_the_manifest_last(
    aws: FakeAws, tmp_path: Path
) -> None:
    def compile_with(flags: Sequence[str]) -> int:
        assert sorted(flags) == [
            "--backend=neuronx",
            f"--checkpoints={tmp_path / 'checkpoints'}",
            "--key=k",
            "--on-cpu",
            f"--out={tmp_path / 'out'}",
            f"--weights={tmp_path / 'weights'}",
        ]
        assert (tmp_path / "weights" / "unet" / "config.json").read_bytes() == b"{}"
        assert (tmp_path / "checkpoints" / "text_encoder" / "model.pt").read_bytes() == b"earlier"
        (tmp_path / "checkpoints" / "unet").mkdir()
        (tmp_path / "checkpoints" / "unet" / "model.pt").write_text("graph")
        (tmp_path / "out" / "unet").mkdir()
        (tmp_path / "out" / "manifest.json").write_text("{}")
        (tmp_path / "out" / "unet" / "model.pt").write_text("graph")
        return 0

    assert run(JOB, aws.client("s3"), tmp_path, compile_with) == 0
    assert names(aws, "compiled/k/") == ["unet/model.pt", "manifest.json"]
    # For a compile that has one more size.
    assert "unet/model.pt" in names(aws, "compile-jobs/p/checkpoints/")


@pytest.mark.parametrize("status", [-9, 137])
def test_a_compiler_that_was_killed_says_that_memory_did_not_suffice(
    aws: FakeAws, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    assert run(JOB, aws.client("s3"), tmp_path, lambda _: status) == status
    said = capsys.readouterr().out
    for part in ("killed", "Memory did not suffice", "sd.kinds.neuron.sizes", "ml.trn1.32xlarge"):
        assert part in said


def test_a_failure_publishes_nothing_and_keeps_what_is_done(aws: FakeAws, tmp_path: Path) -> None:
    def compile_with(flags: Sequence[str]) -> int:
        assert flags
        (tmp_path / "checkpoints" / "unet").mkdir()
        (tmp_path / "checkpoints" / "unet" / "model.pt").write_text("done")
        (tmp_path / "out" / "unet.pt").write_text("no artifact")
        return 1

    assert run(JOB, aws.client("s3"), tmp_path, compile_with) == 1
    assert names(aws, "compiled/") == []
    assert sorted(names(aws, "compile-jobs/p/checkpoints/")) == [
        "text_encoder/model.pt",
        "unet/model.pt",
    ]
