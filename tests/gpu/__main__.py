"""`PYTHONPATH=.:model_assets python -m tests.gpu`: the checks without pytest, for a machine that
has PyTorch, diffusers, transformers and no network.

Exit status 1 if one failed, 2 without a GPU.
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

import torch

from tests.gpu import checks
from tests.gpu.rig import WHY_NOT, full_size


def main() -> int:
    if not torch.cuda.is_available():
        print(WHY_NOT)
        return 2
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="sd-gpu-") as folder:
        rig = full_size(Path(folder) / "weights")
        for check in checks.CHECKS:
            lacks = [name for name in needs(check.__name__) if not importlib.util.find_spec(name)]
            if lacks:
                print(f"{check.__name__}: not run, there is no {', '.join(lacks)}", flush=True)
                continue
            try:
                print(f"{check.__name__}: {check(rig)}", flush=True)
            except Exception as error:  # noqa: BLE001 - the others say something still
                failed += 1
                print(f"{check.__name__}: FAILED: {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0


def needs(check: str) -> tuple[str, ...]:
    return {
        checks.serves_many_requests.__name__: ("uvicorn", "starlette"),
        checks.compiled_is_near.__name__: ("triton",),
    }.get(check, ())


if __name__ == "__main__":
    sys.exit(main())
