"""Pictures a second of one instance whose callers each ask again as soon as they are answered."""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import date
from pathlib import Path

from benchmark.speed.full_size import small_model
from benchmark.speed.levers import as_set
from benchmark.speed.machine import of_device
from benchmark.speed.pictures import said_difference
from benchmark.speed.processes import Server, diffusers_environment, serving
from benchmark.speed.rows import Measured
from sd_contract.environment import EXACT, Batching

Serve = Callable[[Sequence[str], Mapping[str, str]], AbstractContextManager[Server]]
CALLERS = 8
TOGETHER = Batching(CALLERS, 100)
REQUESTS = 4 * CALLERS
ROUNDS = 3


def load_small(serve: Serve = serving) -> Measured:
    with small_model() as weights:
        return load(weights, "cpu", side=64, steps=25, serve=serve)


def load(weights: Path, device: str, *, side: int, steps: int, serve: Serve = serving) -> Measured:
    """The most of ROUNDS, in which the sides take turns: two servers, of which one draws the
    requests that wait together. `weights` with a manifest."""
    asked = [
        {"prompt": f"{number} red circles", "num_inference_steps": steps, "seed": number}
        for number in range(REQUESTS)
    ]
    environment = {
        **diffusers_environment(weights, side),
        **as_set(device).to_env(),
        "CUDA_VISIBLE_DEVICES": "" if device == "cpu" else "0",
    }
    sides = (TOGETHER, EXACT)
    rates: dict[Batching, list[float]] = {each: [] for each in sides}
    pictures = {}
    with ExitStack() as stack:
        servers = {}
        for each in sides:
            told = environment | each.to_env()
            servers[each] = stack.enter_context(serve(["sd_serving.server"], told))
            servers[each].wait()
        for _ in range(ROUNDS):
            for each, server in servers.items():
                started = time.perf_counter()
                answers = server.draw_together(asked, CALLERS)
                rates[each].append(REQUESTS / (time.perf_counter() - started))
                pictures[each] = base64.b64decode(answers[0]["images"][0])
    return Measured(
        max(rates[TOGETHER]),
        max(rates[EXACT]),
        said_difference(*pictures.values()),
        f"{side}x{side}, {steps} steps, {REQUESTS} requests of {CALLERS} callers to "
        f"`sd_serving.server`; max_batch_size {TOGETHER.max_size}, max_batch_delay_ms "
        f"{TOGETHER.max_delay_ms}; the most of {ROUNDS} in turn",
        of_device(device),
        date.today().isoformat(),
    )
