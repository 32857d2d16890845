"""What DJL Serving makes of serving.properties and the environment, as of v0.27.0.

Followed: wlm/ModelInfo.java `loadServingProperties` (OPTION_* fills in what the file lacks, a key
in the file wins); serving/util/ConfigManager.java (SERVING_* are the defaults for all models);
engines/python PyEnv.java (the time limits); its ModelServer.java for the form of
SERVING_LOAD_MODELS. Only `engine` and `option.*` may stand in the file: a deploy decides the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "serving.properties"
_LOAD_MODELS = re.compile(r"\w+::\w+=/([^,]+)")
_LINE = re.compile(r"(?:engine|option\.(\w+))=(\S|\S.*\S)")


@dataclass(frozen=True)
class HostedModel:
    """`options` are `option.*` without the prefix, what the handler is initialized with."""

    folder: Path
    entry_point: str
    options: Mapping[str, str]
    batch_size: int
    max_batch_delay_s: float
    job_queue_size: int
    predict_timeout_s: int
    loading_timeout_s: int
    retry_threshold: int
    """Failures of the Python process that `/ping` overlooks."""


def load_model_settings(rootfs: Path, env: Mapping[str, str]) -> HostedModel:
    """The one model of SERVING_LOAD_MODELS, `name::engine=/folder`. Its folder, below `rootfs`, has
    serving.properties (optional for DJL, required here) and the entry point.

    Raises ValueError, or OSError for a file that is missing.
    """
    load_models = env.get("SERVING_LOAD_MODELS", "")
    match = _LOAD_MODELS.fullmatch(load_models)
    if match is None:
        raise ValueError(f"SERVING_LOAD_MODELS={load_models!r}: one name::engine=/folder")
    folder = (rootfs / match[1]).resolve()
    options = {
        name.removeprefix("OPTION_").lower(): value
        for name, value in env.items()
        if name.startswith("OPTION_") and value
    }
    options |= _options((folder / FILE_NAME).read_text("latin-1"))
    entry_point = options.get("entryPoint", "model.py")
    if not (folder / entry_point).is_file():
        raise ValueError(f"option.entryPoint={entry_point!r}: no such file in {folder}")
    return HostedModel(
        folder=folder,
        entry_point=entry_point,
        options=options,
        # The defaults are DJL's (wlm/util/WlmConfigManager.java), but for the time limits: those
        # the image sets (serving/docker/deepspeed.Dockerfile).
        batch_size=int(env.get("SERVING_BATCH_SIZE", 1)),
        max_batch_delay_s=int(env.get("SERVING_MAX_BATCH_DELAY", 100)) / 1000,
        job_queue_size=int(env.get("SERVING_JOB_QUEUE_SIZE", 1000)),
        predict_timeout_s=int(env.get("PREDICT_TIMEOUT", 240)),
        loading_timeout_s=int(env.get("MODEL_LOADING_TIMEOUT", 1200)),
        retry_threshold=int(env.get("SERVING_RETRY_THRESHOLD", 10)),
    )


def _options(text: str) -> dict[str, str]:
    options = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(
                    f"{FILE_NAME}: {line!r} is neither engine=value nor option.name=value"
                )
            if match[1]:
                options[match[1]] = match[2]
    return options
