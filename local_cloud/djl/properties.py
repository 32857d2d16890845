"""What DJL Serving makes of serving.properties and the environment, as of v0.27.0.

Followed: wlm/ModelInfo.java `loadServingProperties` (OPTION_* fills in what the file lacks, a key
in the file wins) and `getStatus`; serving/util/ConfigManager.java (SERVING_* are the defaults for
all models); engines/python PyEnv.java (the time limits); its ModelServer.java for the form of
SERVING_LOAD_MODELS. Only `engine` and `option.*` are taken from the file: a deploy decides the
rest. DJL lets a malformed line pass or dies on it with a Java stack trace; here every mistake is
listed, for it is nearly always a typing error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "serving.properties"
ENGINES = ("DeepSpeed", "MPI", "Python")
"""The engines that run a Python handler; the first two start it through mpirun."""
_LOAD_MODELS = re.compile(r"[^:=,]+::(\w+)=/([^,]+)")
_LINE = re.compile(r"(engine|option\.\w+)=(\S|\S.*\S)")


class PropertiesError(Exception):
    """Lists every mistake found."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class HostedModel:
    """Delays in the units of their names; `options` are `option.*` without the prefix, what the
    handler is initialized with."""

    folder: Path
    engine: str
    batch_size: int
    max_batch_delay_ms: int
    job_queue_size: int
    predict_timeout_s: int
    loading_timeout_s: int
    retry_threshold: int
    """Failures of the Python process that `/ping` overlooks."""
    entry_point: str
    options: Mapping[str, str]


def load_model_settings(rootfs: Path, env: Mapping[str, str]) -> HostedModel:
    """The one model of SERVING_LOAD_MODELS, `name::engine=/folder`, whose engine wins. Its folder,
    below `rootfs`, has serving.properties (optional for DJL, required here) and the entry point.

    Raises PropertiesError: also for a second model.
    """
    load_models = env.get("SERVING_LOAD_MODELS", "")
    match = _LOAD_MODELS.fullmatch(load_models.strip())
    if match is None:
        raise PropertiesError([f"SERVING_LOAD_MODELS={load_models!r}: one name::engine=/folder"])
    engine, folder = match[1], (rootfs / match[2]).resolve()
    problems: list[str] = []
    properties = _read_properties(folder / FILE_NAME, problems)
    options = {
        name.removeprefix("OPTION_").lower(): value
        for name, value in env.items()
        if name.startswith("OPTION_") and value
    }
    options |= {
        name.removeprefix("option."): value
        for name, value in properties.items()
        if name.startswith("option.")
    }

    def whole(name: str, low: int, default: int) -> int:
        value = env.get(name, str(default))
        if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) >= low):
            problems.append(f"{name}={value!r}: a whole number from {low}")
            return default
        return int(value)

    hosted = HostedModel(
        folder=folder,
        engine=engine,
        # The defaults are DJL's (wlm/util/WlmConfigManager.java), but for the time limits: those
        # the image sets (serving/docker/deepspeed.Dockerfile).
        batch_size=whole("SERVING_BATCH_SIZE", 1, 1),
        max_batch_delay_ms=whole("SERVING_MAX_BATCH_DELAY", 0, 100),
        job_queue_size=whole("SERVING_JOB_QUEUE_SIZE", 1, 1000),
        predict_timeout_s=whole("PREDICT_TIMEOUT", 1, 240),
        loading_timeout_s=whole("MODEL_LOADING_TIMEOUT", 1, 1200),
        retry_threshold=whole("SERVING_RETRY_THRESHOLD", 0, 10),
        entry_point=options.get("entryPoint", "model.py"),
        options=options,
    )
    problems += [
        f"engine={found!r}: one of {', '.join(ENGINES)}"
        for found in (engine, properties.get("engine", engine))
        if found not in ENGINES
    ]
    if not (folder / hosted.entry_point).is_file():
        problems.append(f"option.entryPoint={hosted.entry_point!r}: no such file in {folder}")
    if problems:
        raise PropertiesError(problems)
    return hosted


def _read_properties(path: Path, problems: list[str]) -> dict[str, str]:
    if not path.is_file():
        raise PropertiesError([f"{path} is missing"])
    properties: dict[str, str] = {}
    for number, line in enumerate(path.read_text("latin-1").splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match and match[1] not in properties:
            properties[match[1]] = match[2]
        elif line.strip() and not line.startswith("#"):
            problems.append(
                f"{FILE_NAME} line {number}: {line!r} is neither engine=value nor "
                "option.name=value, each once"
            )
    return properties
