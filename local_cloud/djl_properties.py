"""What DJL Serving makes of serving.properties and the environment, as of v0.27.0.

Followed: wlm/ModelInfo.java `loadServingProperties` (OPTION_* fills in what the file lacks, a key
in the file wins), `configPerModelSettings` and `initialize` (`option.x` reaches the handler as
`x`); serving/util/ConfigManager.java (SERVING_* are the defaults for all models); its
ModelServer.java for the form of SERVING_LOAD_MODELS. DJL lets a malformed line pass or dies on it
with a Java stack trace; here every mistake is listed, for it is nearly always a typing error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "serving.properties"
ENGINES = ("DeepSpeed", "MPI", "Python")
"""The engines that run a Python handler; the first two start it through mpirun."""
_INTEGERS = {"batch_size": (1, 1), "max_batch_delay": (0, 100), "job_queue_size": (1, 1000)}
"""The least value, and DJL's own default (wlm/util/WlmConfigManager.java)."""
_LOAD_MODELS = re.compile(r"(?:(?P<endpoint>[^=]+)=)?(?P<url>.+)")
_UNICODE = re.compile(r"u([0-9a-fA-F]{4})")


class PropertiesError(Exception):
    """Lists every mistake found."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class HostedModel:
    """Where DJL is told to find a model: `name:version:engine:device=url`."""

    name: str
    folder: Path
    engine: str | None


@dataclass(frozen=True)
class ModelSettings:
    engine: str
    batch_size: int
    max_batch_delay_ms: int
    job_queue_size: int
    entry_point: str
    handler: str
    options: Mapping[str, str]
    """`option.*` without the prefix: what the handler is initialized with."""


def parse_load_models(value: str) -> HostedModel:
    """The one model of SERVING_LOAD_MODELS. Raises PropertiesError: this host has no second."""
    urls = re.split(r"[, ]+", value.strip())
    match = _LOAD_MODELS.fullmatch(urls[0]) if len(urls) == 1 else None
    if match is None:
        raise PropertiesError([f"SERVING_LOAD_MODELS={value!r}: one name::engine=/folder"])
    fields = (match["endpoint"] or "").strip("[]").split(":")
    engine = fields[2] if len(fields) > 2 else ""
    folder = Path(match["url"].removeprefix("file://"))
    return HostedModel(fields[0] or folder.name, folder, engine or None)


def load_settings(folder: Path, env: Mapping[str, str], engine: str | None = None) -> ModelSettings:
    """`folder` is the model's, with serving.properties (optional for DJL, required here) and the
    entry point. `engine` is the one of SERVING_LOAD_MODELS, which wins.

    Raises PropertiesError.
    """
    path = folder / FILE_NAME
    try:
        properties = parse_properties(path.read_text(encoding="latin-1"))
    except FileNotFoundError:
        raise PropertiesError([f"{path} is missing"]) from None
    except PropertiesError as error:
        raise PropertiesError([f"{FILE_NAME} {problem}" for problem in error.problems]) from None
    for name, value in env.items():
        if name.startswith("OPTION_") and value:
            key = name.removeprefix("OPTION_").lower()
            if key == "engine":
                properties.setdefault("engine", value)
            else:
                spelled = "entryPoint" if key == "entrypoint" else key
                properties.setdefault(f"option.{spelled}", value)
    problems: list[str] = []
    numbers = {
        key: _integer(key, low, default, properties, env, problems)
        for key, (low, default) in _INTEGERS.items()
    }
    chosen = engine or properties.get("engine", "")
    if chosen not in ENGINES:
        problems.append(f"engine={chosen!r}: one of {', '.join(ENGINES)}")
    options = {
        key.removeprefix("option."): value
        for key, value in properties.items()
        if key.startswith("option.")
    }
    degree = options.get("tensor_parallel_degree", "1")
    if not degree.isdigit() and degree != "max":
        problems.append(f"option.tensor_parallel_degree={degree!r}: a whole number or max")
    entry_point = options.get("entryPoint", "model.py")
    if not (folder / entry_point).is_file():
        problems.append(f"option.entryPoint={entry_point!r}: no such file in {folder}")
    if problems:
        raise PropertiesError(problems)
    return ModelSettings(
        engine=chosen,
        batch_size=numbers["batch_size"],
        max_batch_delay_ms=numbers["max_batch_delay"],
        job_queue_size=numbers["job_queue_size"],
        entry_point=entry_point,
        handler=options.get("handler", "handle"),
        options=options,
    )


def _integer(
    key: str,
    low: int,
    default: int,
    properties: Mapping[str, str],
    env: Mapping[str, str],
    problems: list[str],
) -> int:
    name = f"SERVING_{key.upper()}"
    source = key if key in properties else name
    value = properties[key] if key in properties else env.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) >= low):
        problems.append(f"{source}={value!r}: a whole number from {low}")
        return default
    return int(value)


def parse_properties(text: str) -> dict[str, str]:
    """Java's `Properties.load`: `=`, `:` or blanks part key and value, `#` and `!` start comments,
    a backslash continues a line and escapes.

    Raises PropertiesError for what Java refuses (a broken \\uXXXX) and for what it takes in
    silence but nobody means: a key without a value, a key twice, a blank after the value (Java
    keeps it).
    """
    properties: dict[str, str] = {}
    problems = []
    for number, line in _logical_lines(text):
        parts = re.fullmatch(r"((?:\\.|[^\\=:\s])*)\s*[=:]?\s*(.*)", line, re.DOTALL)
        key, value = (parts[1], parts[2]) if parts else (line, "")
        try:
            key, value = _unescape(key), _unescape(value)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if not key or not value:
            problems.append(f"line {number}: {line!r} is not key=value")
        elif key in properties:
            problems.append(f"line {number}: {key} is there twice")
        elif value != value.rstrip():
            problems.append(f"line {number}: the value of {key} ends in a blank")
        else:
            properties[key] = value
    if problems:
        raise PropertiesError(problems)
    return properties


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """(number of its first line, the line with its continuations), without blanks and comments."""
    logical: list[tuple[int, str]] = []
    open_since: int | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.lstrip()
        if open_since is None and (not line or line[0] in "#!"):
            continue
        continued = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        content = line[:-1] if continued else line
        if open_since is None:
            logical.append((number, content))
        else:
            logical[-1] = (logical[-1][0], logical[-1][1] + content)
        open_since = logical[-1][0] if continued else None
    return logical


def _unescape(text: str) -> str:
    out = []
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character != "\\" or position == len(text):
            out.append(character)
            continue
        escaped = text[position]
        if escaped == "u":
            match = _UNICODE.match(text, position)
            if match is None:
                raise ValueError(r"malformed \uXXXX")
            out.append(chr(int(match[1], 16)))
            position = match.end()
        else:
            out.append({"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(escaped, escaped))
            position += 1
    return "".join(out)
