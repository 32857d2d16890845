"""The checks at full size:

pytest -m gpu -s tests/gpu
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.gpu.checks import CHECKS, Rig
from tests.gpu.rig import WHY_NOT, full_size


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    if not torch.cuda.is_available():
        pytest.skip(WHY_NOT)
    # pytest would keep its own temporary folders: 2.6 GB each time.
    with tempfile.TemporaryDirectory(prefix="sd-gpu-") as folder:
        yield full_size(Path(folder) / "weights")


@pytest.mark.gpu
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_on_the_gpu(
    check: Callable[[Rig], str], rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    said = check(rig)
    with capsys.disabled():
        print(f"\n{torch.cuda.get_device_name()}: {check.__name__}: {said}")
