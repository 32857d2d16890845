"""`sd.builds`: the builds other than the compile."""

from dataclasses import dataclass

from stacks.settings.rules import LOG_DAYS, one_of, setting, whole


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """Time limits (CodeBuild: 5 to 2160 minutes; a wait in a deploy: 43,200 s, of which the build's
    queue takes its share)."""

    weights_timeout_min: int = setting(whole(5, 600))
    image_timeout_min: int = setting(whole(5, 600))
    log_days: int = setting(one_of(*LOG_DAYS))
