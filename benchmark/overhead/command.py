"""`benchmark overhead`."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.figures.stats import Summary, summarise
from benchmark.options import OverheadOptions
from benchmark.overhead.aws_stub import aws_stub
from benchmark.overhead.lambda_process import LambdaProcess, lambda_process
from benchmark.table import Column, Table

ROOT = Path(__file__).resolve().parents[2]
FRONT_DOOR, AUTHORIZER = "front_door.handler", "authorizer.handler"
_PATHS = {"PYTHONPATH": f"{ROOT / 'lambda'}:{ROOT / 'model_assets'}"}
_SETTINGS = {
    "SD_VARIANT_PREFIX": "/stub",
    "SD_DEFAULT_MODEL": "g5",
    "SD_PICTURE_BUCKET": "pictures",
    "SD_URL_TTL_S": "3600",
    "SD_GATEWAY_TIMEOUT_S": "29",
    "SD_CACHE_TTL_S": "60",
    "SD_MAX_BODY_BYTES": "32768",
    "SD_MAX_EDIT_BYTES": "4500000",
    "SD_LOG_PROMPTS": "false",
    "SD_EMBED_PROMPT": "true",
    "SD_METRICS_NAMESPACE": "stub",
}
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "stub",
    "AWS_SECRET_ACCESS_KEY": "stub",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_REQUEST = {
    "resource": "/images/generations",
    "path": "/images/generations",
    "httpMethod": "POST",
    "headers": {"Content-Type": "application/json", "x-api-key": "stub"},
    "requestContext": {"requestId": "stub", "identity": {}},
    "body": json.dumps({"prompt": "a red fox in the snow", "seed": 7}),
    "isBase64Encoded": False,
}
_QUESTION = {
    "type": "REQUEST",
    "methodArn": "arn:aws:execute-api:us-east-1:000000000000:stub/v1/POST/images/generations",
    "headers": {"Authorization": "Bearer stub"},
}


@dataclass(frozen=True)
class _Function:
    """Milliseconds. `start` until it asks for a first event, `first` that event's time, `cpu` what
    the process has computed until then, `own` of each later event. `calls` of the endpoint and S3
    are in none but `cpu`."""

    name: str
    start: float
    first: float
    cpu: float
    own: Summary
    calls: Summary


def overhead(options: OverheadOptions) -> str:
    if not importlib.util.find_spec("awslambdaric"):
        raise BenchmarkError("Lambda's runtime interface client is for Linux: pip has awslambdaric")
    with aws_stub() as url:
        environment = {**_PATHS, **_SETTINGS, **_CREDENTIALS, "AWS_ENDPOINT_URL": url}
        with lambda_process(f"{FRONT_DOOR}.handler", environment) as process:
            front_door = _measured("front door", process, _REQUEST, options.requests)
    with lambda_process(f"{AUTHORIZER}.handler", _PATHS) as process:
        authorizer = _measured("authorizer", process, _QUESTION, options.requests, logs=False)
    table = _table(options.requests, front_door, authorizer)
    return f"{table.markdown()}\n{_imports().markdown()}"


def _measured(
    name: str,
    process: LambdaProcess,
    event: Mapping[str, object],
    requests: int,
    *,
    logs: bool = True,
) -> _Function:
    def once() -> tuple[float, float]:
        returned = process.invoke(event, logs=logs)
        if returned.answer.get("statusCode", 200) != 200:
            raise BenchmarkError(f"the function answered {returned.answer}: {returned.line}")
        calls = sum(returned.line.get(stage, 0.0) for stage in ("endpoint_ms", "storage_ms"))
        return returned.seconds * 1000 - calls, calls

    first, _ = once()
    cpu_ms = process.cpu_s() * 1000
    own, calls = map(summarise, zip(*(once() for _ in range(requests)), strict=True))
    assert own
    assert calls
    return _Function(name, process.start_s * 1000, first, cpu_ms, own, calls)


def _table(requests: int, *functions: _Function) -> Table[_Function]:
    columns: list[Column[_Function]] = [
        Column("function", "", lambda f: f.name),
        Column("cold start ms", ".0f", lambda f: f.start + f.first),
        Column("of it until ready", ".0f", lambda f: f.start),
        Column("CPU ms", ".0f", lambda f: f.cpu),
        Column("p50 ms", ".2f", lambda f: f.own.p50),
        Column("p90 ms", ".2f", lambda f: f.own.p90),
        Column("p99 ms", ".2f", lambda f: f.own.p99),
        Column("calls, p50 ms", ".2f", lambda f: f.calls.p50),
    ]
    statement = (
        f"{requests} requests one after another through Lambda's runtime "
        "interface client on this machine, against stand-ins that answer at once. A cold start is "
        "a new process until its first answer. Without the calls of the endpoint and of S3, which "
        "are the last column: botocore, the loopback, a picture of 400 KB"
    )
    return Table("overhead", "What the functions take themselves", columns, functions, statement)


@dataclass(frozen=True)
class _Import:
    module: str
    ms: float


def _imports() -> Table[_Import]:
    """The front door's, and the ten longest in it."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {FRONT_DOOR}"],
        env=_PATHS,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r"import time:\s*\d+ \|\s*(\d+) \|\s*([\w.]+)", ran.stderr)
    imports = {module: int(us) / 1000 for us, module in found}
    rows = [_Import(module, ms) for module, ms in imports.items() if ms <= imports[FRONT_DOOR]]
    rows.sort(key=lambda row: -row.ms)
    columns: list[Column[_Import]] = [
        Column("module", "", lambda row: row.module),
        Column("ms", ".1f", lambda row: row.ms),
    ]
    statement = "python -X importtime, each with all that it imports first"
    return Table("imports", "The front door's imports", columns, rows[:11], statement)
