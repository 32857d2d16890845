"""What both training stages share: a loop that shows progress and can be stopped at any step.

The random numbers of a step depend on the seed and the step's number alone, so a resumed run draws
what an uninterrupted one would have drawn.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm


@dataclass(frozen=True)
class Stage:
    """One training run: its name, length, learning rate and what it saves."""

    name: str
    steps: int
    peak_rate: float
    parameters: list[torch.nn.Parameter]
    saved: dict[str, Any]
    """By name, whatever has `state_dict` and `load_state_dict`."""
    checkpoint_every: int = 200


class Average:
    """An exponential moving average of parameters, quick to follow at the start."""

    def __init__(self, parameters: Sequence[torch.Tensor], decay: float = 0.998) -> None:
        self._decay = decay
        self._parameters = list(parameters)
        self._values = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._values, self._parameters, 1 - decay)

    @torch.no_grad()
    def copy_to_parameters(self) -> None:
        for parameter, value in zip(self._parameters, self._values, strict=True):
            parameter.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {"values": self._values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._values = state["values"]


def step_generators(seed: int, step: int) -> np.random.Generator:
    """Seeds torch for this step and gives numpy's generator for it."""
    torch.manual_seed(seed * 1_000_003 + step)
    return np.random.default_rng((seed, step))


def run(
    stage: Stage,
    loss_at: Callable[[int], Any],
    work_dir: Path,
    resume: bool,
    after_step: Callable[[int], None] | None = None,
) -> float:
    """Train to the stage's last step, unless a checkpoint is there already; the seconds it took."""
    optimizer = torch.optim.AdamW(
        stage.parameters, lr=stage.peak_rate, weight_decay=0.001, betas=(0.9, 0.98), fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, stage.peak_rate, total_steps=stage.steps + 1, pct_start=0.1
    )
    saved = {**stage.saved, "optimizer": optimizer, "schedule": schedule}
    path = work_dir / f"{stage.name}.pt"
    start, seconds = 0, 0.0
    if resume and path.exists():
        checkpoint = torch.load(path, weights_only=True)
        start, seconds = checkpoint["step"], checkpoint["seconds"]
        for name, target in saved.items():
            target.load_state_dict(checkpoint[name])
    began = time.monotonic() - seconds
    progress = tqdm(
        range(start, stage.steps), stage.name, stage.steps, initial=start, mininterval=2
    )
    for step in progress:
        loss = loss_at(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(stage.parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        if after_step:
            after_step(step)
        if step % 10 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
        if (step + 1) % stage.checkpoint_every == 0 or step + 1 == stage.steps:
            seconds = time.monotonic() - began
            states = {name: target.state_dict() for name, target in saved.items()}
            fresh = path.with_suffix(".new")
            torch.save({"step": step + 1, "seconds": seconds, **states}, fresh)
            os.replace(fresh, path)
    return seconds
