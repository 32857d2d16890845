"""`modes` of a kind or variant: what each of a request's `quality` draws with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sd_contract.fields import STEPS
from sd_contract.sampling import DEEP_CACHE, GUIDANCE_UNTIL, MODES, SIGMAS, Sampling
from stacks.settings.rules import number, one_of, setting, whole


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """What they do, sd_contract.sampling's Sampling says."""

    steps: int = setting(whole(STEPS.low, STEPS.high))
    sigmas: str = setting(one_of(*SIGMAS))
    guidance_until: float = setting(number(GUIDANCE_UNTIL.low, GUIDANCE_UNTIL.high))
    deep_cache: int = setting(whole(DEEP_CACHE.low, DEEP_CACHE.high))


@dataclass(frozen=True, kw_only=True)
class ModesSettings:
    """`standard` serves what asks for none."""

    standard: SamplingSettings = field(metadata={"section": SamplingSettings})
    fast: SamplingSettings = field(metadata={"section": SamplingSettings})

    @property
    def samplings(self) -> Mapping[str, Sampling]:
        """By name."""
        return {name: Sampling(**vars(getattr(self, name))) for name in MODES}
