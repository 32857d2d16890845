"""In place of a model's UNet: reuses its deep half as a setting says, and counts what is run."""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

from benchmark.quality.deep_cache import DeepCache
from sd_contract.sampling import Sampling


@dataclass
class Rows:
    """UNet rows: with guidance a step of a picture has two. `outermost`: of these only the
    outermost layer was run."""

    whole: int = 0
    outermost: int = 0

    @property
    def all(self) -> int:
        return self.whole + self.outermost


class CountedUnet:
    """In place of a `DiffusersParts.unet`, for batches with guidance."""

    def __init__(self, unet: DeepCache, sampling: Sampling) -> None:
        self.rows = Rows()
        self._unet = unet
        self._steps = cycle(sampling.plan())  # each batch takes all of them

    def __call__(
        self, latents: Any, t: Any, encoder_hidden_states: Any, return_dict: bool
    ) -> tuple[Any]:
        assert not return_dict
        full = next(self._steps).full
        if full:
            self.rows.whole += len(latents)
        else:
            self.rows.outermost += len(latents)
        return (self._unet(latents, t, encoder_hidden_states, full),)
