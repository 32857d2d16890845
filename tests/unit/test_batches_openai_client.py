"""OpenAI's own client, with nothing but a URL and a key: its files and batches."""

import json
from collections.abc import Iterator
from typing import Final

import httpx2
import openai
import pytest
from openai import OpenAI

from tests.fakes import batches as fakes
from tests.fakes.batches import World
from tests.fakes.wsgi_gateway import KEY, served

GENERATIONS: Final = "/v1/images/generations"


@pytest.fixture
def world() -> Iterator[World]:
    with fakes.aws() as session:
        yield World(session)


@pytest.fixture
def client(world: World) -> Iterator[OpenAI]:
    with served(world.respond) as url, OpenAI(base_url=url, api_key=KEY) as client:
        yield client


def jsonl(*bodies: dict[str, object], url: str = GENERATIONS) -> bytes:
    lines = [
        {"custom_id": f"line {number}", "method": "POST", "url": url, "body": body}
        for number, body in enumerate(bodies, 1)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


FORTY = jsonl(*({"model": "g5", "prompt": f"fox {n}", "seed": n, "n": 1} for n in range(40)))


def test_forty_lines_from_file_to_output(client: OpenAI, world: World) -> None:
    file = client.files.create(file=("füchse.jsonl", FORTY), purpose="batch")
    assert (file.filename, file.bytes, file.purpose) == ("füchse.jsonl", len(FORTY), "batch")
    assert client.files.content(file.id).read() == FORTY
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=GENERATIONS,
        completion_window="24h",
        metadata={"project": "foxes"},
    )
    assert batch.status == "validating"
    world.work()
    batch = client.batches.retrieve(batch.id)
    assert (batch.status, batch.model) == ("in_progress", "g5")
    world.draw(batch.id, 30)
    batch = client.batches.retrieve(batch.id)
    assert batch.request_counts
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (40, 30, 0)
    world.draw(batch.id)
    world.work()
    batch = client.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert batch.request_counts
    assert batch.request_counts.completed == 40
    assert (batch.metadata, batch.error_file_id) == ({"project": "foxes"}, None)
    assert batch.usage
    assert batch.usage.input_tokens == 280
    # Their types hold to what they declare.
    assert type(batch).model_validate(batch.model_dump()) == batch

    assert batch.output_file_id
    lines = client.files.content(batch.output_file_id).text.splitlines()
    assert len(lines) == 40
    answer = json.loads(lines[7])
    assert (answer["custom_id"], answer["error"]) == ("line 8", None)
    assert answer["response"]["status_code"] == 200
    [picture] = answer["response"]["body"]["data"]
    assert picture["seed"] == 7
    assert "X-Amz-Signature=" in picture["url"]
    output = client.files.retrieve(batch.output_file_id)
    assert output.purpose == "batch_output"


def test_a_list_is_paged_by_itself(client: OpenAI, world: World) -> None:
    file = client.files.create(file=FORTY, purpose="batch")
    made: list[str] = []
    for _ in range(5):
        batch = client.batches.create(
            input_file_id=file.id, endpoint=GENERATIONS, completion_window="24h"
        )
        made.insert(0, batch.id)
        world.clock.now += 1
    assert [batch.id for batch in client.batches.list(limit=2)] == made
    assert [each.id for each in client.files.list(purpose="batch")] == [file.id]
    assert list(client.files.list(purpose="batch_output")) == []
    with pytest.raises(openai.BadRequestError, match="limit: must be an integer from 1 to 100"):
        client.batches.list(limit=101)


def test_a_large_file_goes_where_upload_url_says(client: OpenAI, world: World) -> None:
    size = len(FORTY)
    pending = client.post(
        "/files",
        body={"purpose": "batch", "filename": "large.jsonl", "bytes": size},
        cast_to=httpx2.Response,
    ).json()
    assert (pending["status"], pending["bytes"]) == ("pending", size)
    assert f"/files/{pending['id']}.jsonl?" in pending["upload_url"]
    assert "content-length" in pending["upload_url"]
    with pytest.raises(openai.BadRequestError, match="is not uploaded yet"):
        client.batches.create(
            input_file_id=pending["id"], endpoint=GENERATIONS, completion_window="24h"
        )
    world.objects.put(f"files/{pending['id']}.jsonl", FORTY, "application/jsonl")
    file = client.files.retrieve(pending["id"])
    assert (file.status, file.bytes) == ("processed", size)


def test_a_file_that_is_deleted_is_gone(client: OpenAI, world: World) -> None:
    file = client.files.create(file=FORTY, purpose="batch")
    deleted = client.files.delete(file.id)
    assert (deleted.id, deleted.deleted) == (file.id, True)
    with pytest.raises(openai.NotFoundError) as caught:
        client.files.retrieve(file.id)
    assert caught.value.code == "file_not_found"
    assert world.objects.keys("files/") == set()
    with pytest.raises(openai.NotFoundError, match=r"input_file_id: .* is not there"):
        client.batches.create(input_file_id=file.id, endpoint=GENERATIONS, completion_window="24h")


def test_a_cancel_keeps_what_was_drawn(client: OpenAI, world: World) -> None:
    file = client.files.create(file=FORTY, purpose="batch")
    id = client.batches.create(
        input_file_id=file.id, endpoint=GENERATIONS, completion_window="24h"
    ).id
    world.work()
    world.draw(id, 3)
    assert client.batches.cancel(id).status == "cancelling"
    world.work()
    assert world.runners["real-time"].stopped == [id]
    assert world.slept_s == [70]
    batch = client.batches.retrieve(id)
    assert batch.status == "cancelled"
    assert batch.output_file_id
    assert batch.error_file_id
    assert len(client.files.content(batch.output_file_id).text.splitlines()) == 3
    missing = client.files.content(batch.error_file_id).text.splitlines()
    assert len(missing) == 37
    assert json.loads(missing[0])["error"]["code"] == "batch_cancelled"
    with pytest.raises(openai.ConflictError, match="is cancelled and can't be cancelled"):
        client.batches.cancel(id)


def test_wrong_lines_are_named_and_nothing_runs(client: OpenAI, world: World) -> None:
    content = jsonl({"prompt": "fox", "n": 101}, {"prompt": "fox"}, {"promt": "fox"})
    file = client.files.create(file=content, purpose="batch")
    id = client.batches.create(
        input_file_id=file.id, endpoint=GENERATIONS, completion_window="24h"
    ).id
    world.work()
    batch = client.batches.retrieve(id)
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    told = [(each.line, each.param, each.code) for each in batch.errors.data]
    assert told == [
        (1, "n", "out_of_range"),
        (3, "promt", "unknown_field"),
        (3, "prompt", "missing_field"),
    ]
    assert batch.errors.data[0].message == "n: must be an integer from 1 to 100, not 101"
    assert not any(runner.started for runner in world.runners.values())
