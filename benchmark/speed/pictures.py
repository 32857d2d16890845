"""Pictures by this project and by diffusers' own pipeline, on the same networks' weights."""

import gc
import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

from benchmark.speed.full_size import SMALL as SMALL
from benchmark.speed.levers import as_set
from benchmark.speed.machine import of_device
from benchmark.speed.plain import pipeline_of, scheduler_of_diffusers
from benchmark.speed.processes import container_environment
from benchmark.speed.rows import Measured
from g5.inference import load_with
from g5.options import DiffusersOptions
from sd_contract.invocation import Invocation
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine

PROMPT, SEED, GUIDANCE = "a red circle on a blue background", 7, 7.5
PICTURES = 4


def has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def picture(
    weights: Path,
    device: str,
    *,
    side: int,
    steps: int,
    rounds: int,
    options: DiffusersOptions | None = None,
    in_turn: bool = False,
) -> Measured:
    """Ours against the plain pipeline, with the levers that a device of the kind has by default."""
    asked, options = _asked(side, steps), options or as_set(device)
    sides = partial(_ours, options=options), _plain
    made = (partial(side_of, weights, device, asked) for side_of in sides)
    return _compared(device, asked, rounds, *made, in_turn=in_turn)


def lever(
    weights: Path,
    device: str,
    with_and_without: tuple[DiffusersOptions, DiffusersOptions],
    *,
    side: int,
    steps: int,
    rounds: int,
    in_turn: bool = False,
) -> Measured:
    asked = _asked(side, steps)
    sides = [partial(_ours, weights, device, asked, options) for options in with_and_without]
    return _compared(device, asked, rounds, *sides, in_turn=in_turn)


def prompt_cache(
    weights: Path, device: str, *, side: int, steps: int, rounds: int, in_turn: bool = False
) -> Measured:
    """A text that was asked before, against new ones."""
    asked = _asked(side, steps)

    def known() -> Callable[[], bytes]:
        return _ours(weights, device, asked, as_set(device))

    def unknown() -> Callable[[], bytes]:
        engine = _engine(weights, device, side, as_set(device))
        texts = iter([asked, *(replace(asked, prompt=f"{n} {PROMPT}") for n in range(rounds))])
        return lambda: engine.generate([next(texts)])[0].images[0]

    return _compared(device, asked, rounds, known, unknown, in_turn=in_turn)


def files(weights: Path, device: str, *, side: int, steps: int, rounds: int) -> Measured:
    """Pictures of one request, whose files are written while the next are drawn, against a request
    each."""
    asked = _asked(side, steps)
    together = [replace(asked, num_images=PICTURES)]
    apart = [replace(asked, seed=asked.seed + number) for number in range(PICTURES)]

    def drawing(requests: Sequence[Invocation]) -> Callable[[], bytes]:
        engine = _engine(weights, device, side, as_set(device))

        def draw() -> bytes:
            first, *_ = [engine.generate([each])[0].images[0] for each in requests]
            return first

        return draw

    sides = (partial(drawing, requests) for requests in (together, apart))
    found = _compared(device, asked, rounds, *sides, in_turn=False)
    return replace(found, conditions=f"{PICTURES} pictures, {found.conditions}")


def _compared(
    device: str,
    asked: Invocation,
    rounds: int,
    *sides: Callable[[], Callable[[], bytes]],
    in_turn: bool,
) -> Measured:
    """Seconds from prompt to PNG, the least of `rounds` after one more. The sides come one after
    the other, so that memory for one is enough, or in turn, where what else the machine does is
    borne by both."""
    least: list[float] = []
    files: list[bytes] = []
    for group in [sides] if in_turn else [(side,) for side in sides]:
        draws = [make() for make in group]
        files += [draw() for draw in draws]
        found = [[_timed(draw) for draw in draws] for _ in range(rounds)]
        least += [min(times) for times in zip(*found, strict=True)]
        del draws
        gc.collect()
    return Measured(
        least[0],
        least[1],
        said_difference(*files),
        f"{asked.size}, {asked.num_inference_steps} steps, guidance {GUIDANCE:g}, "
        f"{_dtype(device)}, the least of {rounds}{' in turn' * in_turn}, PNG included",
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


def _engine(weights: Path, device: str, side: int, options: DiffusersOptions) -> Engine:
    import torch

    config = ServingConfig.from_env(container_environment(weights, side))
    parts = load_with(
        weights,
        options,
        dtype=getattr(torch, _dtype(device)),
        device=torch.device(device),
        sizes=config.sizes,
    )
    return Engine(parts, config)


def _ours(
    weights: Path, device: str, asked: Invocation, options: DiffusersOptions
) -> Callable[[], bytes]:
    engine = _engine(weights, device, asked.size.width, options)
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
