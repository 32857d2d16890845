"""The API of files and batches, request by request: curl's way, repeated requests, mistakes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from batches.store import IDEMPOTENCY_S
from sd_contract.batch import FILE_BYTES
from tests.fakes import batches as fakes
from tests.fakes.batches import World

URL = "/v1/images/generations"
REQUEST = {"custom_id": "a", "url": URL, "body": {"prompt": "fox", "seed": 7}}


@pytest.fixture
def world() -> Iterator[World]:
    with fakes.aws() as session:
        yield World(session)


def create(world: World, key: str | None = None, **body: Any) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"} | ({"idempotency-key": key} if key else {})
    status, _, answer = world.send("POST", "/batches", body, headers=headers)
    return status, answer


def refusal(world: World, **body: Any) -> tuple[str | None, str]:
    status, answer = create(world, **body)
    assert status == 400, answer
    assert world.functions.asked == []
    return answer["error"]["param"], answer["error"]["message"]


def test_requests_may_come_with_the_batch(world: World) -> None:
    status, batch = create(world, requests=[REQUEST])
    assert (status, batch["status"], batch["endpoint"]) == (200, "validating", URL)
    assert batch["completion_window"] == "24h"
    assert batch["expires_at"] == batch["created_at"] + 86_400
    _, _, file = world.send("GET", f"/files/{batch['input_file_id']}")
    assert (file["filename"], file["purpose"]) == ("requests.jsonl", "batch")
    [line] = world.lines(batch["input_file_id"])
    assert line == REQUEST
    world.work()
    world.draw(batch["id"])
    world.work()
    [output] = world.lines(world.get(batch["id"])["output_file_id"])
    assert output["custom_id"] == "a"


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({}, "endpoint", "endpoint: required"),
        ({"requests": [REQUEST], "endpoint": "/v1/chat"}, "endpoint", "must be one of"),
        ({"endpoint": URL}, "input_file_id", "or requests in its place"),
        ({"input_file_id": "f", "requests": [REQUEST]}, "input_file_id", "not both"),
        ({"requests": [], "endpoint": URL}, "requests", "at least one"),
        ({"requests": {}, "endpoint": URL}, "requests", "at least one"),
        ({"requests": [REQUEST], "completion_window": "1d"}, "completion_window", "1h to 168h"),
        ({"requests": [REQUEST], "completion_window": "169h"}, "completion_window", "1h to 168h"),
        ({"requests": [REQUEST], "metadata": {"a": 1}}, "metadata", "at most 16 texts"),
        ({"requests": [REQUEST], "metadata": {"x" * 65: ""}}, "metadata", "1 to 64"),
        ({"requests": [REQUEST], "metadata": {str(n): "" for n in range(17)}}, "metadata", "16"),
        ({"requests": [REQUEST], "prompt": "x"}, "prompt", "unknown field"),
    ],
)
def test_a_mistake_is_told_with_its_field(
    world: World, body: dict[str, Any], param: str, said: str
) -> None:
    found, message = refusal(world, **body)
    assert found == param
    assert said in message


def test_a_window_ends_before_the_results_do(world: World) -> None:
    world.api = replace(world.api, files=replace(world.api.files, days=1))
    assert create(world, requests=[REQUEST])[0] == 200
    world.functions.asked.clear()
    param, message = refusal(world, requests=[REQUEST], completion_window="25h")
    assert (param, "1h to 24h" in message) == ("completion_window", True)


def test_a_batch_is_there_when_its_window_ends(world: World) -> None:
    """To be finished: DynamoDB deletes what has expired."""
    _, made = create(world, requests=[REQUEST], completion_window="168h")
    batch = world.store.batch(made["id"])
    assert batch.expires_at >= batch.deadline + 86_400


def test_an_output_is_no_input(world: World) -> None:
    id = world.create({"prompt": "fox"})["id"]
    world.draw(id)
    world.work()
    output = world.get(id)["output_file_id"]
    assert refusal(world, input_file_id=output, endpoint=URL)[0] == "input_file_id"


def test_a_key_makes_one_batch_of_a_repeated_request(world: World) -> None:
    _, first = create(world, "key", requests=[REQUEST])
    world.functions.asked.clear()
    _, again = create(world, "key", requests=[REQUEST])
    assert again == first
    # It may have ended before the check was asked for.
    assert world.functions.asked == [("check", first["id"])]
    assert len(world.send("GET", "/batches")[2]["data"]) == 1
    world.work()
    _, later = create(world, "key", requests=[REQUEST])
    assert (later["id"], later["status"], world.functions.asked) == (first["id"], "in_progress", [])


def test_a_key_is_one_request_s_and_one_caller_s(world: World) -> None:
    _, first = create(world, "key", requests=[REQUEST])
    status, answer = create(world, "key", requests=[REQUEST, REQUEST])
    assert (status, answer["error"]["code"]) == (409, "idempotency_key_reused")
    _, other = create(world, "other key", requests=[REQUEST])
    assert other["id"] != first["id"]
    context = {"requestId": "r", "identity": {"apiKeyId": "key-2"}}
    headers = {"Content-Type": "application/json", "Idempotency-Key": "key"}
    _, _, theirs = world.send(
        "POST", "/batches", {"requests": [REQUEST]}, headers=headers, requestContext=context
    )
    assert theirs["id"] != first["id"]
    world.clock.now += IDEMPOTENCY_S + 1
    _, later = create(world, "key", requests=[REQUEST])
    assert later["id"] != first["id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/batches/none", 404, "batch_not_found"),
        ("POST", "/batches/none/cancel", 404, "batch_not_found"),
        ("GET", "/files/none", 404, "file_not_found"),
        ("DELETE", "/files/none", 404, "file_not_found"),
        ("GET", "/files/none/content", 404, "file_not_found"),
        ("GET", f"/files/{'x' * 2000}", 404, "file_not_found"),
        ("GET", "/files/a/b/c", 404, "not_found"),
        ("GET", "/batches/a/cancelled", 404, "not_found"),
        ("PUT", "/batches", 405, "method_not_allowed"),
        ("GET", "/batches/a/cancel", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there(world: World, method: str, path: str, status: int, code: str) -> None:
    found, headers, answer = world.send(method, path)
    assert (found, answer["error"]["code"]) == (status, code)
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"purpose": "batch", "filename": "a"}, "bytes"),
        ({"purpose": "batch", "filename": "a", "bytes": FILE_BYTES + 1}, "bytes"),
        ({"purpose": "batch", "filename": "a", "bytes": 0}, "bytes"),
        ({"purpose": "fine-tune", "filename": "a", "bytes": 1}, "purpose"),
        ({"purpose": "batch", "filename": "", "bytes": 1}, "filename"),
    ],
)
def test_an_upload_that_cannot_be(world: World, body: dict[str, Any], param: str) -> None:
    status, _, answer = world.send("POST", "/files", body)
    assert (status, answer["error"]["param"]) == (400, param)


def form(*parts: tuple[str, str]) -> dict[str, Any]:
    text = "".join(
        f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{data}\r\n" for head, data in parts
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return {"headers": headers, "body": f"{text}--b--\r\n"}


PURPOSE = ('name="purpose"', "batch")


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ([PURPOSE], "file"),
        ([('name="file"; filename="a"', "{}")], "purpose"),
        ([PURPOSE, ('name="file"; filename="a"', "")], "file"),
        ([PURPOSE, ('name="file"', "{}")], "file"),
        (
            [PURPOSE, ('name="file"; filename="a"', "{}"), ('name="expires_after[seconds]"', "1")],
            "expires_after[seconds]",
        ),
    ],
)
def test_a_form_that_cannot_be(world: World, parts: list[tuple[str, str]], param: str) -> None:
    status, _, answer = world.send("POST", "/files", **form(*parts))
    assert (status, answer["error"]["param"]) == (400, param)


def test_what_is_larger_than_an_answer_lies_elsewhere(world: World) -> None:
    world.api = replace(world.api, inline_bytes=500)
    id = world.create(*[{"prompt": "x" * 300}] * 2)["id"]
    file = world.get(id)["input_file_id"]
    status, headers, text = world.send("GET", f"/files/{file}/content")
    assert (status, text) == (302, "")
    assert urlsplit(headers["Location"]).path.endswith(f"/files/{file}.jsonl")
    world.draw(id)
    world.work()
    output = world.get(id)["output_file_id"]
    status, headers, _ = world.send("GET", f"/files/{output}/content")
    key = f"batches/{id}/output.jsonl.signed"
    assert status == 302
    assert urlsplit(headers["Location"]).path.endswith(f"/{key}")
    lines = [json.loads(line) for line in world.objects.read(key).splitlines()]
    assert [line["custom_id"] for line in lines] == ["line 1", "line 2"]
    links = [line["response"]["body"]["data"][0]["url"] for line in lines]
    assert all("X-Amz-Signature=" in link for link in links)


def test_a_bulk_job_at_work_is_seen_by_its_results(world: World) -> None:
    id = world.create(*[{"prompt": "x", "n": 5}] * 4, metadata={"engine": "bulk"})["id"]
    for unit in world.units(id)[:11]:
        key = f"batches/{id}/results/{unit.name}.json"
        world.objects.put(key, fakes.drawn(unit).to_json().encode(), "application/json")
    batch = world.get(id)
    assert batch["usage"]["pictures"] == 11
    assert batch["request_counts"] == {"total": 4, "completed": 2, "failed": 0}


def test_what_a_key_or_a_prompt_says_is_not_logged(world: World) -> None:
    create(world, requests=[{**REQUEST, "body": {"prompt": "a secret fox"}}])
    world.send("GET", "/batches/a-secret-name")
    assert world.logged
    assert "secret" not in json.dumps(world.logged)
