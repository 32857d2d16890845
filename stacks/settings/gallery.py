"""`sd.gallery`: kept pictures, found again by what they show."""

from dataclasses import dataclass

from stacks.settings.rules import flag, setting, whole


@dataclass(frozen=True, kw_only=True)
class GallerySettings:
    """Without `enabled` there is no stack for it, and the API refuses to keep pictures. `store` is
    whether it keeps those of requests that don't say; all of them go after `picture_days`."""

    enabled: bool = setting(flag())
    store: bool = setting(flag())
    picture_days: int = setting(whole(1, 365))
