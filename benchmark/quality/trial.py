"""Levers put around a model's parts, so that the engine draws with them, and what they took."""

from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

from benchmark.quality.deep_cache import DeepCache
from sd_contract.sampling import Sampling
from sd_serving.diffusers_parts import DiffusersParts
from sd_serving.loaded_parts import SchedulerFactory
from sd_serving.sampler import NoiseSchedule, Sampler


@dataclass
class Rows:
    """UNet rows: with guidance a step of a picture has two. `outermost`: of these
    only the outermost layer was run."""

    whole: int = 0
    outermost: int = 0

    @property
    def all(self) -> int:
        return self.whole + self.outermost


class LeveredUnet:
    """In place of a `DiffusersParts.unet`, for batches with guidance."""

    def __init__(self, unet: DeepCache, sampling: Sampling) -> None:
        self.rows = Rows()
        self._unet = unet
        self._steps = cycle(sampling.plan())  # each batch takes all of them

    def __call__(
        self, latents: Any, t: Any, encoder_hidden_states: Any, return_dict: bool
    ) -> tuple[Any]:
        import torch

        assert not return_dict
        step = next(self._steps)
        embeds = encoder_hidden_states
        if not step.guided:
            latents, embeds = latents.chunk(2)[1], embeds.chunk(2)[1]
        if step.full:
            self.rows.whole += len(latents)
        else:
            self.rows.outermost += len(latents)
        noise = self._unet(latents, t, embeds, step.full)
        # Equal halves: guidance then has nothing to add, to the bit.
        return (noise if step.guided else torch.cat([noise, noise]),)


class _Scheduler:
    """Our sampler, as the engine asks diffusers' for its steps."""

    init_noise_sigma = 1.0

    def __init__(self, sampler: Sampler) -> None:
        import torch

        self.timesteps = torch.tensor(sampler.timesteps)
        self._sampler = sampler
        self._number = 0

    def set_timesteps(self, steps: int) -> None:
        assert steps == len(self.timesteps)

    def scale_model_input(self, latents: Any, _t: Any) -> Any:
        return latents

    def step(self, predicted: Any, _t: Any, latents: Any, return_dict: bool) -> tuple[Any]:
        assert not return_dict
        self._number += 1
        return (self._sampler.step(predicted, self._number - 1, latents),)


class _Schedulers(SchedulerFactory):
    def __init__(self, schedule: NoiseSchedule, sampling: Sampling) -> None:
        self._schedule = schedule
        self._sampling = sampling

    def __call__(self) -> Any:
        return _Scheduler(Sampler(self._schedule, self._sampling))


def levered(
    parts: DiffusersParts, schedule: NoiseSchedule, unet: DeepCache, sampling: Sampling
) -> DiffusersParts:
    """The same model, drawn in that setting; its `unet` is a LeveredUnet."""
    return replace(
        parts, unet=LeveredUnet(unet, sampling), make_scheduler=_Schedulers(schedule, sampling)
    )
