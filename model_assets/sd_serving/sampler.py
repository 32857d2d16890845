"""DPM-Solver++ (2M), the second-order solver of Lu et al. 2022, between given noise levels.

Ours, as the images have three versions of diffusers, of which the oldest knows of no noise levels
but its own: so all kinds take the same steps. What it gives is DPMSolverMultistepScheduler's of the
newest (algorithm_type "dpmsolver++", solver_order 2, solver_type "midpoint", lower_order_final).
linspace is that with final_sigmas_type "sigma_min", which is what diffusers 0.16 does, and ays with
"zero", as published. karras is its n + 1 steps with "sigma_min" but for the last of them, which
goes from the lowest noise level to the same: n steps are worth one more without it.

A latent at noise level sigma is alpha * picture + alpha * sigma * noise, with
alpha = 1 / sqrt(1 + sigma**2): the training's, "variance preserving". Coefficients are Python's
floats, the latents stay float32.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_contract.sampling import KARRAS, LINSPACE, Sampling
from sd_serving.model_unusable import ModelUnusable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

ALGORITHM = "DPM-Solver++ 2M"
RHO = 7.0
# Of 1000 time steps (research.nvidia.com/labs/toronto-ai/AlignYourSteps, as in diffusers'
# AysSchedules["StableDiffusionTimesteps"]).
AYS_TIMESTEPS = (999, 850, 736, 645, 545, 455, 343, 233, 124, 24)
# Of fewer evenly spaced steps the last is of first order: diffusers' lower_order_final.
FEW_STEPS = 15


@dataclass(frozen=True)
class NoiseSchedule:
    """What the training added: `sigmas` by time step, rising. `prediction`: of the UNet, "epsilon",
    "v_prediction" or "sample"."""

    sigmas: tuple[float, ...]
    prediction: str

    @classmethod
    def read(cls, path: Path) -> NoiseSchedule:
        """Of a `scheduler_config.json`, whichever sampler that file names. Raises ModelUnusable for
        what this sampler doesn't do."""
        config = json.loads(path.read_bytes())
        if config.get("thresholding"):
            raise ModelUnusable(f"{path.name}: thresholding is for models of pixels")
        kept = _alphas_cumprod(config)
        return cls(tuple(((1 - kept) / kept) ** 0.5), str(config.get("prediction_type", "epsilon")))

    def timestep(self, sigma: float) -> int:
        """The nearest, by the sigmas' logarithms."""
        import numpy as np

        logs = np.log(self.sigmas)
        return round(float(np.interp(math.log(sigma), logs, np.arange(len(logs)))))


def _alphas_cumprod(config: Mapping[str, Any]) -> NDArray[np.float64]:
    import numpy as np

    count = int(config.get("num_train_timesteps", 1000))
    schedule = config.get("beta_schedule", "linear")
    start, end = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    if config.get("trained_betas") is not None:
        betas = np.array(config["trained_betas"], dtype=np.float64)
    elif schedule == "linear":
        betas = np.linspace(start, end, count)
    elif schedule == "scaled_linear":
        betas = np.linspace(start**0.5, end**0.5, count) ** 2
    elif schedule == "squaredcos_cap_v2":
        ends = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = np.minimum(1 - ends[1:] / ends[:-1], 0.999)
    else:
        raise ModelUnusable(f"beta_schedule is {schedule!r}")
    kept = np.cumprod(1 - betas, dtype=np.float64)
    if config.get("rescale_betas_zero_snr"):  # Lin et al. 2023, algorithm 1
        roots = kept**0.5
        roots = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
        kept = roots**2
        kept[-1] = 2**-24  # none at all has no finite sigma
    return kept


def noise_levels(schedule: NoiseSchedule, sampling: Sampling) -> tuple[list[int], list[float]]:
    """The time steps, and the sigmas before each of them and after the last."""
    import numpy as np

    known, steps = np.array(schedule.sigmas), sampling.steps
    if sampling.sigmas == LINSPACE:
        times = np.linspace(0, len(known) - 1, steps + 1).round()[::-1].astype(int)
        timesteps = times[:-1].tolist()
        return timesteps, [*known[times[:-1]].tolist(), float(known[0])]
    if sampling.sigmas == KARRAS:
        highest, lowest = known[-1] ** (1 / RHO), known[0] ** (1 / RHO)
        sigmas = (np.linspace(highest, lowest, steps + 1) ** RHO).tolist()
    else:
        table = np.array(AYS_TIMESTEPS) / 999 * (len(known) - 1)
        logs = np.interp(table, np.arange(len(known)), np.log(known))
        # Of another number of steps as the paper has it: between the logarithms.
        wanted = np.linspace(0, 1, steps)
        sigmas = [*np.exp(np.interp(wanted, np.linspace(0, 1, len(logs)), logs)).tolist(), 0.0]
    return [schedule.timestep(sigma) for sigma in sigmas[:-1]], sigmas


class Sampler:
    """Of one batch of pictures: it remembers the last step's estimate."""

    def __init__(self, schedule: NoiseSchedule, sampling: Sampling) -> None:
        self.timesteps: Sequence[int]
        self.timesteps, self._sigmas = noise_levels(schedule, sampling)
        self._prediction = schedule.prediction
        few = sampling.sigmas == LINSPACE and sampling.steps < FEW_STEPS
        self._first_order = {sampling.steps - 1} if few else set()
        self._before: tuple[int, torch.Tensor] | None = None

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, step: int) -> torch.Tensor:
        """As they are before the step of that number."""
        sigma = self._sigmas[step]
        return (latents + sigma * noise) * _alpha(sigma)

    def step(self, predicted: torch.Tensor, step: int, latents: torch.Tensor) -> torch.Tensor:
        """[B, C, h, w] each → those before the next step. The steps are taken one after another;
        the first need not be number 0."""
        sigma, after = self._sigmas[step : step + 2]
        picture = self._picture(predicted, sigma, latents)
        before, self._before = self._before, (step, picture)
        if after == 0:
            return picture
        width = math.log(sigma / after)
        # exp(-h) = after / sigma by lambda = -log(sigma).
        toward = _alpha(after) * (1 - after / sigma)
        kept = after * _alpha(after) / (sigma * _alpha(sigma))
        if before is None or step in self._first_order:
            return kept * latents + toward * picture
        number, earlier = before
        half_ratio = 0.5 * width / math.log(self._sigmas[number] / sigma)
        return kept * latents + toward * ((1 + half_ratio) * picture - half_ratio * earlier)

    def _picture(
        self, predicted: torch.Tensor, sigma: float, latents: torch.Tensor
    ) -> torch.Tensor:
        """The latents without noise, as the prediction has them."""
        alpha = _alpha(sigma)
        if self._prediction == "epsilon":
            return latents / alpha - sigma * predicted
        if self._prediction == "v_prediction":
            return alpha * latents - sigma * alpha * predicted
        return predicted


def _alpha(sigma: float) -> float:
    return 1 / math.sqrt(1 + sigma * sigma)
