"""Pictures by this project and by diffusers' own pipeline, on the same networks' weights."""

import gc
import io
import math
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from benchmark.speed.full_size import SMALL
from benchmark.speed.machine import of_device
from benchmark.speed.plain import pipeline_of, scheduler_of_diffusers
from benchmark.speed.processes import container_environment
from benchmark.speed.rows import Measured
from sd_contract.invocation import Invocation
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine

__all__ = ["SMALL", "has_gpu", "picture"]
PROMPT, SEED, GUIDANCE = "a red circle on a blue background", 7, 7.5


def has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def picture(weights: Path, device: str, *, side: int, steps: int, rounds: int) -> Measured:
    """Seconds from prompt to PNG, the least of `rounds` after one more. The sides come one after
    the other, so that memory for one is enough."""
    asked = _asked(side, steps)
    least, files = [], []
    for side_of in (_ours, _plain):
        draw = side_of(weights, device, asked)
        files.append(draw())
        least.append(min(_timed(draw) for _ in range(rounds)))
        del draw
        gc.collect()
    return Measured(
        least[0],
        least[1],
        said_difference(*files),
        f"{side}x{side}, {steps} steps, guidance {GUIDANCE:g}, {_dtype(device)}, "
        f"the least of {rounds}, PNG included",
        of_device(device),
        date.today().isoformat(),
    )


def said_difference(one: bytes, other: bytes) -> str:
    """Of two files, in words."""
    import numpy as np
    from PIL import Image

    first, second = (
        np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), dtype=np.float64)
        for file in (one, other)
    )
    error = float(((first - second) ** 2).mean())
    return f"PSNR {10 * math.log10(255**2 / error):.1f} dB" if error else "the same, bit for bit"


def _asked(side: int, steps: int) -> Invocation:
    return Invocation(PROMPT, "", 1, Size(side, side), steps, GUIDANCE, SEED)


def _dtype(device: str) -> str:
    return "float16" if device.startswith("cuda") else "float32"


def _engine(weights: Path, device: str, side: int) -> Engine:
    import torch

    parts = load_diffusers(
        weights,
        dtype=getattr(torch, _dtype(device)),
        device=torch.device(device),
        channels_last=device.startswith("cuda"),
        packed=True,
    )
    return Engine(parts, ServingConfig.from_env(container_environment(weights, side)))


def _ours(weights: Path, device: str, asked: Invocation) -> Callable[[], bytes]:
    engine = _engine(weights, device, asked.size.width)
    return lambda: engine.generate([asked])[0].images[0]


def _plain(weights: Path, device: str, asked: Invocation) -> Callable[[], bytes]:
    """The networks as they are loaded: neither packed nor in another layout."""
    import torch

    dtype = getattr(torch, _dtype(device))
    parts = load_diffusers(weights, dtype=dtype, device=torch.device(device))
    pipeline = pipeline_of(parts, scheduler_of_diffusers(weights))
    pipeline.set_progress_bar_config(disable=True)

    def draw() -> bytes:
        (image,) = pipeline(
            asked.prompt,
            height=asked.size.height,
            width=asked.size.width,
            num_inference_steps=asked.num_inference_steps,
            guidance_scale=asked.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(asked.seed),
        ).images
        out = io.BytesIO()
        image.save(out, "PNG")
        return out.getvalue()

    return draw


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
