"""The GPU's checks on a CPU with the small model: that they run, and that each can fail."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch

from sd_serving.diffusers_parts import DiffusersParts
from sd_serving.engine import Engine
from tests.fakes.serving import capture_on_a_cpu, make_artifact
from tests.gpu import __main__ as without_pytest
from tests.gpu import checks
from tests.gpu.checks import Rig

CPU = torch.device("cpu")
NEEDS_PROCESSES = (checks.equal_after_a_restart, checks.serves_many_requests)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    weights = make_artifact(tmp_path_factory.mktemp("gpu") / "weights")
    return Rig(weights, CPU, torch.bfloat16, side=64, steps=2)


class Broken(Rig):
    """Draws another picture each time."""

    brightness: ClassVar = itertools.cycle((0.2, 0.6, 1.0))

    def engine(self, *args: Any, **options: Any) -> Engine:
        engine = super().engine(*args, **options)
        parts = engine.parts
        assert isinstance(parts, DiffusersParts)
        plain = parts.decode
        vars(parts)["decode"] = lambda latents: plain(latents) * next(self.brightness)
        return engine


def starved(parts: DiffusersParts) -> Iterator[None]:
    def denoise(*_: object) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    vars(parts)["denoise"] = denoise
    yield
    del vars(parts)["denoise"]


def growing() -> Callable[[], int]:
    grown = iter(range(100))
    return lambda: next(grown)


def test_low_precision_is_near_float32(rig: Rig) -> None:
    assert checks.near_float32(rig).endswith(" dB")


def test_one_by_one_is_exact(rig: Rig) -> None:
    assert checks.one_by_one_is_exact(replace(rig, dtype=torch.float32)) == "4 pictures"


def test_batches_are_near(rig: Rig) -> None:
    assert checks.batches_are_near(replace(rig, dtype=torch.float32)).startswith("4 together")


def test_replayed_steps_are_eager_ones(rig: Rig) -> None:
    assert checks.replayed_steps_are_eager_ones(rig, capture_on_a_cpu([])) == "4 pictures"


def test_levers_are_near(rig: Rig) -> None:
    said = checks.levers_are_near(replace(rig, dtype=torch.float32), ("fused_qkv",))
    assert said.startswith("fused_qkv ")


def test_memory_that_stays_is_fine(rig: Rig) -> None:
    assert "GiB between pictures" in checks.memory_does_not_grow(rig, lambda: 1 << 30)


def test_out_of_memory_is_got_over(rig: Rig) -> None:
    assert "out of memory in denoise" in checks.gets_over_out_of_memory(rig, starved)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (checks.near_float32, "dB, at least 30 are wanted"),
        (checks.one_by_one_is_exact, "another than the one made alone"),
        (checks.batches_are_near, "dB, at least 40 are wanted"),
        (lambda rig: checks.levers_are_near(rig, ("fused_qkv",)), "fused_qkv: .* dB, at least 40"),
        (
            lambda rig: checks.replayed_steps_are_eager_ones(rig, capture_on_a_cpu([])),
            "another than the eager one",
        ),
        (lambda rig: checks.gets_over_out_of_memory(rig, starved), "draws another picture"),
        (lambda rig: checks.gets_over_out_of_memory(rig, never), "drawn without memory"),
        (lambda rig: checks.memory_does_not_grow(rig, growing()), "bytes after a picture"),
    ],
)
def test_what_is_wrong_is_found(rig: Rig, check: Callable[[Rig], str], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check(Broken(**vars(rig)))


def never(_: DiffusersParts) -> Iterator[None]:
    yield


@pytest.mark.local
@pytest.mark.parametrize("check", NEEDS_PROCESSES, ids=lambda check: check.__name__)
def test_in_processes_of_their_own(rig: Rig, check: Callable[..., str]) -> None:
    assert check(replace(rig, dtype=torch.float32))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert without_pytest.main() == 2
    assert capsys.readouterr().out == "PyTorch sees no GPU\n"


def test_the_server_is_asked_for_by_what_it_needs() -> None:
    assert [name.__name__ for name in checks.CHECKS if without_pytest.needs(name.__name__)] == [
        "compiled_is_near",
        "serves_many_requests",
    ]
