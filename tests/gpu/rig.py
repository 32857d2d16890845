"""The GPU that is there, and SD 2.1 base's networks with random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmark.speed.full_size import make_full_size
from tests.gpu.checks import Rig

WHY_NOT = "PyTorch sees no GPU"


def full_size(folder: Path) -> Rig:
    """`folder` must not exist. Takes 2.6 GB of disk."""
    return Rig(make_full_size(folder), torch.device("cuda"), torch.float16, side=512, steps=4)
