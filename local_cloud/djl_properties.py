"""What DJL Serving makes of serving.properties and the environment, as of v0.27.0.

Followed: wlm/ModelInfo.java `loadServingProperties` (OPTION_* fills in what the file lacks, a key
in the file wins) and `getStatus`; serving/util/ConfigManager.java (SERVING_* are the defaults for
all models); engines/python PyEnv.java (the time limits); its ModelServer.java for the form of
SERVING_LOAD_MODELS. Only `key=value` lines are read here. DJL lets a malformed line pass or dies on
it with a Java stack trace; here every mistake is listed, for it is nearly always a typing error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "serving.properties"
ENGINES = ("DeepSpeed", "MPI", "Python")
"""The engines that run a Python handler; the first two start it through mpirun."""
_LOAD_MODELS = re.compile(r"([^:=,]+)::(\w+)=(/[^,]+)")


class PropertiesError(Exception):
    """Lists every mistake found."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class HostedModel:
    """Where DJL is told to find a model: `name::engine=folder`."""

    name: str
    folder: Path
    engine: str


@dataclass(frozen=True)
class ModelSettings:
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
    """`option.*` without the prefix: what the handler is initialized with."""


def parse_load_models(value: str) -> HostedModel:
    """The one model of SERVING_LOAD_MODELS. Raises PropertiesError: this host has no second."""
    match = _LOAD_MODELS.fullmatch(value.strip())
    if match is None:
        raise PropertiesError([f"SERVING_LOAD_MODELS={value!r}: one name::engine=/folder"])
    return HostedModel(match[1], Path(match[3]), match[2])


def load_settings(folder: Path, env: Mapping[str, str], engine: str | None = None) -> ModelSettings:
    """`folder` is the model's, with serving.properties (optional for DJL, required here) and the
    entry point. `engine` is the one of SERVING_LOAD_MODELS, which wins.

    Raises PropertiesError.
    """
    problems: list[str] = []
    properties = _read_properties(folder / FILE_NAME, problems)
    for name, value in env.items():
        if name.startswith("OPTION_") and value:
            properties.setdefault(f"option.{name.removeprefix('OPTION_').lower()}", value)

    def whole(name: str, low: int, default: int, key: str = "") -> int:
        said = key if key in properties else name
        value = properties[key] if key in properties else env.get(name, str(default))
        if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) >= low):
            problems.append(f"{said}={value!r}: a whole number from {low}")
            return default
        return int(value)

    options = {
        key.removeprefix("option."): value
        for key, value in properties.items()
        if key.startswith("option.")
    }
    settings = ModelSettings(
        engine=engine or properties.get("engine", ""),
        # The defaults are DJL's (wlm/util/WlmConfigManager.java), but for the time limits: those
        # the image sets (serving/docker/deepspeed.Dockerfile).
        batch_size=whole("SERVING_BATCH_SIZE", 1, 1, "batch_size"),
        max_batch_delay_ms=whole("SERVING_MAX_BATCH_DELAY", 0, 100, "max_batch_delay"),
        job_queue_size=whole("SERVING_JOB_QUEUE_SIZE", 1, 1000, "job_queue_size"),
        predict_timeout_s=whole("PREDICT_TIMEOUT", 1, 240),
        loading_timeout_s=whole("MODEL_LOADING_TIMEOUT", 1, 1200),
        retry_threshold=whole("SERVING_RETRY_THRESHOLD", 0, 10),
        entry_point=options.get("entryPoint", "model.py"),
        options=options,
    )
    if settings.engine not in ENGINES:
        problems.append(f"engine={settings.engine!r}: one of {', '.join(ENGINES)}")
    if not (folder / settings.entry_point).is_file():
        problems.append(f"option.entryPoint={settings.entry_point!r}: no such file in {folder}")
    if problems:
        raise PropertiesError(problems)
    return settings


def _read_properties(path: Path, problems: list[str]) -> dict[str, str]:
    if not path.is_file():
        raise PropertiesError([f"{path} is missing"])
    properties: dict[str, str] = {}
    for number, line in enumerate(path.read_text("latin-1").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        key, _, value = line.partition("=")
        if not key or not value or value != value.strip() or key in properties:
            problems.append(f"{FILE_NAME} line {number}: {line!r} is not key=value, each key once")
        else:
            properties[key] = value
    return properties
