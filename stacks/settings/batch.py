"""`sd.batch`: thousands of pictures, whatever engine makes them."""

from dataclasses import dataclass

from sd_contract.registration import REAL_TIME
from stacks.settings.rules import flag, number, setting, whole


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """Files, pictures and results stay for `result_days`. A batch of more than `bulk_pictures` goes
    to spot instances where its variant has them. On a real-time endpoint batches take
    `real_time_share` of its time at most, so that the rest of its callers hardly notice: one of
    them waits behind a batch's picture with that probability at most. The worker has
    `worker_timeout_s` for a picture; what it dies with begins again after that."""

    enabled: bool = setting(flag())
    result_days: int = setting(whole(1, 365))
    bulk_pictures: int = setting(whole(1, 50_000))
    real_time_share: float = setting(number(0.01, 1))
    worker_timeout_s: int = setting(whole(30, 870))

    def served(self, serve: tuple[str, ...]) -> tuple[str, ...]:
        """What of a variant's engines is there."""
        return serve if self.enabled else tuple(each for each in serve if each == REAL_TIME)
