"""The results file: one JSON line an answer, appended and synced as it comes.

A run that is killed loses at most the requests in flight. A line cut short by the kill is dropped
when the file is opened again. Three kinds of line: `run` (what the file is about, written first),
`request`, and `cloudwatch` (one for each variant and phase, the last one counts).
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from benchmark.errors import BenchmarkError
from sd_contract.registration import Registration
from sd_contract.sampling import STANDARD
from sd_contract.size import Size

WARM_UP = "warm-up"


class Key(NamedTuple):
    """What makes a request unique in a results file, and so what a resumed run skips."""

    model: str
    prompt: int
    phase: str
    repetition: int


@dataclass(frozen=True)
class RunInfo:
    """What has to be equal for two runs' figures to stand in one file, and what reports state."""

    url: str
    local: bool
    prompts: str
    prompts_digest: str
    steps: int
    size: str
    guidance_scale: float
    started: str
    more_steps: dict[str, int] = field(default_factory=dict)
    """Of the modes besides the first one that was asked for, by name."""

    def steps_of(self, quality: str) -> int:
        return self.more_steps.get(quality, self.steps)

    @property
    def steps_said(self) -> str:
        more = "".join(f", {mode} {steps}" for mode, steps in self.more_steps.items())
        return f"{self.steps} steps{more}"

    @property
    def width_height(self) -> tuple[int, int]:
        size = Size.parse(self.size)
        return size.width, size.height

    def check_same(self, other: "RunInfo") -> None:
        """Raises BenchmarkError that names every field that differs; `started` may."""
        differences = [
            f"{name} was {was!r}, is now {now!r}"
            for name, was, now in zip(asdict(self), astuple(self), astuple(other), strict=True)
            if was != now and name != "started"
        ]
        if differences:
            raise BenchmarkError(
                f"the results file holds another run: {'; '.join(differences)}. "
                "Give another --results, or the same settings."
            )


def check_same_variant(recorded: Registration, now: Registration) -> None:
    """Raises BenchmarkError if what is served has changed; its price may."""
    names = ("engine", "instance_type", "instance_count", "model_id", "revision", "artifact_key")
    for name in names:
        was, served = getattr(recorded, name), getattr(now, name)
        if was != served:
            raise BenchmarkError(
                f"{now.name}: the results are of {name} {was!r}, now {served!r} is served. "
                "Give another --results."
            )


@dataclass(frozen=True)
class RequestRecord:
    """One request. Times in seconds; `due_s` and `done_s` count from its session's start.

    `latency_s` runs from when the request was due, not from when it was sent: in an open loop a
    late sender would otherwise hide the very queueing it is there to show. A failed request has
    a latency too (how long the failure took); summaries take only those that are ok.
    `model` is the variant's name, with that of its mode where it isn't the standard one.
    """

    model: str
    prompt: int
    phase: str
    repetition: int
    session: str
    sent_at: str
    due_s: float
    done_s: float
    latency_s: float
    seed: int
    variant: Registration
    concurrency: int | None = None
    rate: float | None = None
    http_status: int | None = None
    failure: str | None = None
    message: str | None = None
    request_id: str | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    picture: str | None = None
    quality: str = STANDARD

    @property
    def outcome(self) -> str:
        """ok, failed or timeout."""
        if self.failure is None:
            return "ok"
        return "timeout" if self.failure == "timeout" else "failed"

    @property
    def key(self) -> Key:
        return Key(self.model, self.prompt, self.phase, self.repetition)


@dataclass(frozen=True)
class CloudWatchRecord:
    """SageMaker's own latencies in a phase: CloudWatch keeps them by the minute, not by request.

    `minutes` maps a minute (ISO, UTC) to {"ModelLatency": ms, "OverheadLatency": ms,
    "count": n}; None with `reason` where there are none.
    """

    model: str
    phase: str
    minutes: dict[str, dict[str, float]] | None
    reason: str | None


@dataclass(frozen=True)
class Results:
    info: RunInfo
    requests: list[RequestRecord]
    cloudwatch: dict[tuple[str, str], CloudWatchRecord]

    @property
    def measured(self) -> list[RequestRecord]:
        return [record for record in self.requests if record.phase != WARM_UP]


def by_phase(records: Iterable[RequestRecord]) -> dict[tuple[str, str], list[RequestRecord]]:
    """By variant and phase, in the order they come; warm-up isn't one."""
    phases: dict[tuple[str, str], list[RequestRecord]] = {}
    for record in records:
        if record.phase != WARM_UP:
            phases.setdefault((record.model, record.phase), []).append(record)
    return phases


def read_results(path: Path) -> Results:
    """Raises BenchmarkError if there is no such file, it holds no run or isn't of this version."""
    try:
        text = path.read_text()
    except OSError as error:
        raise BenchmarkError(f"no results at {path}: {error.strerror}") from error
    infos: list[RunInfo] = []
    requests: dict[Key, RequestRecord] = {}
    cloudwatch: dict[tuple[str, str], CloudWatchRecord] = {}
    try:
        # What comes after the last newline was cut short; other line breaks may be in a message.
        for line in map(json.loads, text.split("\n")[:-1]):
            match line.pop("kind"):
                case "run":
                    infos.append(RunInfo(**line))
                case "request":
                    variant = Registration.from_document(line.pop("variant"))
                    record = RequestRecord(**line, variant=variant)
                    requests[record.key] = record
                case "cloudwatch":
                    seen = CloudWatchRecord(**line)
                    cloudwatch[seen.model, seen.phase] = seen
    except (KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(f"{path} isn't a results file of this version: {error}") from error
    if not infos:
        raise BenchmarkError(f"{path} holds no run")
    return Results(infos[0], list(requests.values()), cloudwatch)


class ResultsFile:
    """Appends to a results file; `done` holds the keys it had and the ones added since."""

    def __init__(self, path: Path, info: RunInfo) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.requests: list[RequestRecord] = []
        is_new = not path.exists() or _without_cut_line(path) == 0
        if not is_new:
            before = read_results(path)
            before.info.check_same(info)
            self.requests = before.requests
        self.done: set[Key] = {record.key for record in self.requests}
        self._file = path.open("a")
        if is_new:
            self._write({"kind": "run"} | asdict(info))

    def add(self, record: RequestRecord) -> None:
        line = asdict(record) | {"variant": record.variant.document()}
        self._write({"kind": "request"} | line)
        self.requests.append(record)
        self.done.add(record.key)

    def add_cloudwatch(self, records: Iterable[CloudWatchRecord]) -> None:
        for record in records:
            self._write({"kind": "cloudwatch"} | asdict(record))

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _without_cut_line(path: Path) -> int:
    """Drops what a kill left of a last line; how many bytes stay."""
    whole = path.read_bytes().rfind(b"\n") + 1
    os.truncate(path, whole)
    return whole
