"""OpenAI's client and curl's way through batches, against the whole app: files, engines, ends."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import httpx
import psutil
import pytest
from openai import OpenAI
from openai.types import Batch

from model_assets.tiny.picture_check import describe, expected
from tests.fakes.local_account import log_lines
from tests.local.up_cloud import UpCloud

pytestmark = pytest.mark.local
GENERATIONS: Final = "/v1/images/generations"
PROMPTS = [
    f"a {colour} {shape} on a white background"
    for colour in ("red", "blue")
    for shape in ("circle", "square")
]
LONGEST_S = 300
CONTAINER_LOG = "/aws/sagemaker/Endpoints/sd-g5"


@pytest.fixture
def client(up: UpCloud) -> Iterator[OpenAI]:
    with OpenAI(base_url=up.api.url, api_key=up.api.key) as client:
        yield client


def jsonl(*bodies: Mapping[str, Any]) -> bytes:
    lines = [
        {"custom_id": f"line {number}", "method": "POST", "url": GENERATIONS, "body": body}
        for number, body in enumerate(bodies, 1)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def ended(client: OpenAI, id: str) -> Batch:
    began = time.monotonic()
    while time.monotonic() < began + LONGEST_S:
        batch = client.batches.retrieve(id)
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            return batch
        time.sleep(1)
    raise AssertionError(batch)


def lines(client: OpenAI, file_id: str | None) -> list[Any]:
    assert file_id
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


@pytest.mark.parametrize("engine", ["real-time", "bulk"])
def test_forty_lines(client: OpenAI, engine: str) -> None:
    bodies = [{"prompt": PROMPTS[n % 4], "seed": n} for n in range(40)]
    file = client.files.create(file=("lines.jsonl", jsonl(*bodies)), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id,
        endpoint=GENERATIONS,
        completion_window="24h",
        metadata={"engine": engine},
    )
    batch = ended(client, made.id)
    assert batch.status == "completed", batch
    assert batch.request_counts
    assert (batch.request_counts.completed, batch.error_file_id) == (40, None)
    output = lines(client, batch.output_file_id)
    assert [line["custom_id"] for line in output] == [f"line {n}" for n in range(1, 41)]
    for line, body in zip(output, bodies, strict=True):
        [picture] = line["response"]["body"]["data"]
        assert picture["seed"] == body["seed"]
    for n in range(4):
        [picture] = output[n]["response"]["body"]["data"]
        drawn = httpx.get(picture["url"], trust_env=False)
        assert describe(drawn.content) == expected(PROMPTS[n])


def test_two_batches_whose_worker_is_killed_twice(client: OpenAI, up: UpCloud) -> None:
    """Nothing is lost or doubled, or drawn again but for the pictures at hand."""
    bodies = [{"prompt": PROMPTS[n % 4], "seed": n, "num_inference_steps": 2} for n in range(20)]
    requests = [
        {"custom_id": str(n), "url": GENERATIONS, "body": body} for n, body in enumerate(bodies)
    ]
    asked = {"requests": requests, "metadata": {"engine": "real-time"}}
    made = [client.post("/batches", body=asked, cast_to=Batch).id for _ in range(2)]
    for least in (6, 18):
        began = time.monotonic()
        while sum(_pictures(client, id) for id in made) < least:
            assert time.monotonic() < began + LONGEST_S
            time.sleep(0.5)
        killed = 0
        for process in psutil.Process(up.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "FunctionsWorker" in " ".join(process.cmdline()):
                    process.kill()
                    killed += 1
        assert killed
    for id in made:
        batch = ended(client, id)
        assert batch.request_counts
        assert (batch.request_counts.completed, _pictures(client, id)) == (20, 20)
        output = lines(client, batch.output_file_id)
        seeds = [line["response"]["body"]["data"][0]["seed"] for line in output]
        assert seeds == list(range(20))
    drawn = Counter(
        line["request_id"]
        for line in map(json.loads, filter(_is_json, log_lines(up, CONTAINER_LOG)))
        if line["event"] == "invocation" and line["request_id"].rsplit("-", 2)[0] in made
    )
    assert len(drawn) == 40
    assert sum(drawn.values()) <= 40 + 2


def test_a_file_put_where_upload_url_says(client: OpenAI) -> None:
    content = jsonl({"prompt": PROMPTS[0], "seed": 3})
    announced = {"purpose": "batch", "filename": "a.jsonl", "bytes": len(content)}
    pending = client.post("/files", body=announced, cast_to=httpx.Response).json()
    put = httpx.put(pending["upload_url"], content=content, trust_env=False)
    assert put.status_code == 200, put.text
    assert client.files.retrieve(pending["id"]).bytes == len(content)
    assert client.files.content(pending["id"]).read() == content


def test_requests_inline_and_a_cancel(client: OpenAI) -> None:
    request = {"custom_id": "a", "url": GENERATIONS, "body": {"prompt": PROMPTS[0], "n": 100}}
    made = client.post("/batches", body={"requests": [request]}, cast_to=Batch)
    began = time.monotonic()
    while client.batches.retrieve(made.id).usage is None or not _pictures(client, made.id):
        assert time.monotonic() < began + LONGEST_S
        time.sleep(0.5)
    client.batches.cancel(made.id)
    batch = ended(client, made.id)
    assert batch.status == "cancelled"
    [line] = lines(client, batch.output_file_id)
    drawn = len(line["response"]["body"]["data"])
    assert 0 < drawn < 100
    assert drawn == _pictures(client, made.id)
    [missing] = lines(client, batch.error_file_id)
    assert missing["error"]["code"] == "batch_cancelled"


def _is_json(line: str) -> bool:
    return line.startswith("{")


def _pictures(client: OpenAI, id: str) -> int:
    usage = client.batches.retrieve(id).usage
    assert usage
    return int(usage.model_dump()["pictures"])


def test_wrong_lines_are_told(client: OpenAI) -> None:
    request = {"custom_id": "a", "url": GENERATIONS, "body": {"prompt": PROMPTS[0], "n": 101}}
    made = client.post("/batches", body={"requests": [request]}, cast_to=Batch)
    batch = ended(client, made.id)
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    assert [(each.line, each.param) for each in batch.errors.data] == [(1, "n")]
