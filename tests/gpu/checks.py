"""What is asked of the serving code on a GPU at full size. Each check raises AssertionError or
returns the figures it saw, and runs on any Rig: the small model's on a CPU shows that it works."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmark.speed.levers import PLAIN, as_set
from benchmark.speed.processes import ROOT, diffusers_environment, serving
from g5 import inference
from g5.inference import load_with
from g5.levers import Capture, with_cuda_graphs
from g5.options import SAME, DiffusersOptions
from sd_contract.invocation import Invocation
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import DiffusersParts
from sd_serving.engine import Engine
from sd_serving.errors import OutOfMemory

LOW_PRECISION_DB = 30.0
"""Of a picture against float32's. Random weights amplify less than trained ones, so far more was
to be expected; what it catches is a network that overflows or is rounded away."""
BATCH_DB = 40.0
"""Of a picture against the one made alone: the kernels' rounding in half precision."""
TOGETHER = 4
SEED = 7


@dataclass(frozen=True)
class Rig:
    weights: Path
    """With a manifest."""
    device: torch.device
    dtype: torch.dtype
    """That is served; float32 is what it is held against."""
    side: int
    steps: int

    @property
    def environment(self) -> dict[str, str]:
        """As the container would have it, the weights' key included."""
        return {
            **diffusers_environment(self.weights, self.side),
            **as_set(self.device.type).to_env(),
            "SD_DTYPE": str(self.dtype).removeprefix("torch."),
        }

    @property
    def config(self) -> ServingConfig:
        return ServingConfig.from_env(self.environment)

    def engine(
        self,
        dtype: torch.dtype | None = None,
        most: int = 1,
        options: DiffusersOptions | None = None,
    ) -> Engine:
        config = self.config
        parts = load_with(
            self.weights,
            options or as_set(self.device.type),
            dtype=dtype or self.dtype,
            device=self.device,
            sizes=config.sizes,
            max_pictures_per_pass=most,
        )
        return Engine(parts, config)

    def asked(self, seed: int = SEED, guidance: float = 7.5) -> Invocation:
        size = Size(self.side, self.side)
        return Invocation("a red circle", "", 1, size, self.steps, guidance, seed)


def equal_after_a_restart(rig: Rig) -> str:
    """The real loader in two processes, one after the other: the same bytes."""
    sums = [_drawn_elsewhere(rig) for _ in range(2)]
    assert sums[0] == sums[1], f"{sums}: two starts draw two pictures"
    return f"sha256 {sums[0][:12]} twice"


def near_float32(rig: Rig) -> str:
    """Finite is the engine's own check: it raises for a picture that isn't."""
    pictures = []
    for dtype in (rig.dtype, torch.float32):
        pictures.append(_pixels(_draw(rig.engine(dtype), rig.asked())))
        _give_back()
    assert pictures[1].std() > 0, "a flat picture would be near any other"
    found = psnr(*pictures)
    assert found >= LOW_PRECISION_DB, f"{found:.1f} dB, at least {LOW_PRECISION_DB:g} are wanted"
    return f"{found:.1f} dB"


def one_by_one_is_exact(rig: Rig) -> str:
    """Of n with one picture a pass, each is the one made alone."""
    engine = rig.engine()
    (several,) = engine.generate([replace(rig.asked(), num_images=TOGETHER)])
    alone = [_draw(engine, rig.asked(SEED + number)) for number in range(TOGETHER)]
    assert list(several.images) == alone, "a picture of n is another than the one made alone"
    return f"{TOGETHER} pictures"


def batches_are_near(rig: Rig) -> str:
    engine = rig.engine(most=TOGETHER)
    together = engine.generate([rig.asked(SEED + number) for number in range(TOGETHER)])
    found = min(
        psnr(_pixels(answer.images[0]), _pixels(_draw(engine, rig.asked(SEED + number))))
        for number, answer in enumerate(together)
    )
    assert found >= BATCH_DB, f"{found:.1f} dB, at least {BATCH_DB:g} are wanted"
    return f"{TOGETHER} together, at least {found:.1f} dB"


def replayed_steps_are_eager_ones(rig: Rig, capture: Capture | None = None) -> str:
    """CUDA graphs: the same bytes, guided or not, whatever was drawn before; two a graph."""
    asked = [rig.asked(seed, guidance) for guidance in (7.5, 1.0) for seed in (SEED, SEED + 1)]
    engine = rig.engine()
    eager = [_draw(engine, each) for each in asked]
    assert isinstance(engine.parts, DiffusersParts)
    with_cuda_graphs(engine.parts, engine.config.sizes, capture)
    replayed = [_draw(engine, each) for each in asked]
    assert replayed == eager, "a replayed step is another than the eager one"
    assert len({*replayed}) == len(asked), "other requests draw the same picture"
    return f"{len(asked)} pictures"


def levers_are_near(
    rig: Rig, levers: Sequence[str] = ("channels_last", "fused_qkv", "cudnn_benchmark")
) -> str:
    """Each by itself, against none."""
    plain = _pixels(_draw(rig.engine(options=PLAIN), rig.asked()))
    found = {}
    for lever in levers:
        options = DiffusersOptions(vae_dtype=SAME, **{lever: True})
        found[lever] = psnr(plain, _pixels(_draw(rig.engine(options=options), rig.asked())))
        _give_back()
    for lever, db in found.items():
        assert db >= BATCH_DB, f"{lever}: {db:.1f} dB, at least {BATCH_DB:g} are wanted"
    return ", ".join(f"{lever} {db:.1f} dB" for lever, db in found.items())


def compiled_is_near(rig: Rig) -> str:
    return levers_are_near(rig, ("torch_compile",))


def memory_does_not_grow(rig: Rig, allocated: Callable[[], int] | None = None) -> str:
    """`allocated` in bytes; PyTorch's on the device without."""
    allocated = allocated or _allocated
    engine = rig.engine()
    _draw(engine, rig.asked())
    first = allocated()
    for _ in range(3):
        _draw(engine, rig.asked())
    assert allocated() <= first, f"{first} bytes after a picture, {allocated()} after four"
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else first
    return f"{first / 2**30:.2f} GiB between pictures, at most {peak / 2**30:.2f}"


def gets_over_out_of_memory(
    rig: Rig, exhausted: Callable[[DiffusersParts], Iterator[None]] | None = None
) -> str:
    """A picture that doesn't fit is refused as OutOfMemory, and the next one is as before."""
    engine = rig.engine()
    assert isinstance(engine.parts, DiffusersParts)
    before = _draw(engine, rig.asked())
    with contextmanager(exhausted or _fill)(engine.parts):
        try:
            _draw(engine, rig.asked())
        except OutOfMemory as error:
            said = str(error)
        else:
            raise AssertionError("a picture was drawn without memory")
    assert _draw(engine, rig.asked()) == before, "after it the same request draws another picture"
    return said


def serves_many_requests(rig: Rig, requests: int = 200, callers: int = 8) -> str:
    """`sd_serving.server` in a process of its own; every tenth request is the same one."""
    asked = [
        {"prompt": "a red circle", "num_inference_steps": rig.steps, "seed": number % 10}
        for number in range(requests)
    ]
    with serving(["sd_serving.server"], rig.environment) as server:
        server.wait()
        answers = server.draw_together(asked, callers)
        assert server.is_ready(), "the server is no longer healthy"
    pictures = {(entry["seed"], a["images"][0]) for entry, a in zip(asked, answers, strict=True)}
    assert len(pictures) == len({entry["seed"] for entry in asked}), "one seed drew two pictures"
    return f"{len(answers)} requests of {callers} callers"


CHECKS: tuple[Callable[[Rig], str], ...] = (
    equal_after_a_restart,
    near_float32,
    one_by_one_is_exact,
    batches_are_near,
    replayed_steps_are_eager_ones,
    levers_are_near,
    compiled_is_near,
    memory_does_not_grow,
    gets_over_out_of_memory,
    serves_many_requests,
)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Of 8-bit pictures, in dB; infinite where they are equal."""
    error = float(((one - other) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def _draw(engine: Engine, asked: Invocation) -> bytes:
    return engine.generate([asked])[0].images[0]


def _pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), dtype=np.float64)


def _give_back() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _allocated() -> int:
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


def _fill(_: DiffusersParts) -> Iterator[None]:
    """The device's memory, but for less than a step takes."""
    torch.cuda.empty_cache()
    free, _total = torch.cuda.mem_get_info()
    filler = torch.empty(free - (64 << 20), dtype=torch.uint8, device="cuda")
    yield
    del filler
    torch.cuda.empty_cache()


def _drawn_elsewhere(rig: Rig) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu.checks", str(rig.weights), str(rig.side)],
        input=json.dumps({"steps": rig.steps, "dtype": rig.config.dtype}),
        cwd=ROOT,
        env={**os.environ, **rig.environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'model_assets'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def _main(weights: Path, side: int) -> None:
    told = json.load(sys.stdin)
    rig = Rig(weights, torch.device("cpu"), getattr(torch, told["dtype"]), side, told["steps"])
    engine = Engine(inference.load(weights, rig.config), rig.config)
    print(hashlib.sha256(_draw(engine, rig.asked())).hexdigest())


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
