"""A batch's lines before anything runs: what is wrong is told by line and field, all of it; what is
right becomes work, for the engine that suits it."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sd_contract import batch as contract
from sd_contract.batch import BatchKeys, WorkLine
from sd_contract.seeds import seeds_of
from tests.fakes import batches as fakes
from tests.fakes.batches import FLEET, World
from tests.fakes.front_door import PNG

URL = "/v1/images/generations"
EDITS = "/v1/images/edits"
PICTURE = base64.b64encode(PNG + b"a fox").decode()


@pytest.fixture
def world() -> Iterator[World]:
    with fakes.aws() as session:
        yield World(session)


def line(**changes: Any) -> str:
    return json.dumps({"custom_id": "a", "url": URL, "body": {"prompt": "fox"}, **changes})


def errors(world: World, *lines: str, endpoint: str = URL) -> list[tuple[Any, ...]]:
    """(line, param, code) of each, of a batch whose file has these lines."""
    return [
        (each["line"], each["param"], each["code"])
        for each in told(world, *lines, endpoint=endpoint)
    ]


def told(world: World, *lines: str, endpoint: str = URL) -> list[dict[str, Any]]:
    batch = checked(world, *lines, endpoint=endpoint)
    assert batch["status"] == "failed", batch
    assert not any(runner.started for runner in world.runners.values())
    [event] = world.events.told
    assert event["Detail"] == batch
    assert world.objects.keys(BatchKeys(batch["id"]).work) == set()
    found: list[dict[str, Any]] = batch["errors"]["data"]
    return found


def checked(world: World, *lines: str, endpoint: str = URL, **more: Any) -> dict[str, Any]:
    file = world.api.files.new("in.jsonl", "batch", 9)
    world.objects.put(file.key, "\n".join(lines).encode(), "application/jsonl")
    world.store.add(file)
    body = {"input_file_id": file.id, "endpoint": endpoint, **more}
    _, _, batch = world.send("POST", "/batches", body)
    world.work()
    return world.get(batch["id"])


@pytest.mark.parametrize(
    ("wrong", "param", "code"),
    [
        ("{", None, "invalid_json"),
        ("[]", None, "invalid_json"),
        (line(custom_id=None), "custom_id", "missing_field"),
        (line(custom_id="x" * 513), "custom_id", "out_of_range"),
        (line(method="GET"), "method", "out_of_range"),
        (line(url=EDITS), "url", "out_of_range"),
        (line(more=1), "more", "unknown_field"),
        (line(body="fox"), "body", "invalid_type"),
        (line(body={"prompt": "fox", "n": 101}), "n", "out_of_range"),
        (line(body={"prompt": "fox", "size": "8x8"}), "size", "size_not_served"),
        (line(body={"prompt": "fox", "model": "sdxl"}), "model", "model_not_found"),
        (line(body={"prompt": "fox", "quality": "hd"}), "quality", "out_of_range"),
        # An output file's pictures are links.
        (
            line(body={"prompt": "x", "response_format": "b64_json"}),
            "response_format",
            "out_of_range",
        ),
    ],
)
def test_a_mistake_is_told_by_its_line_and_field(
    world: World, wrong: str, param: str | None, code: str
) -> None:
    assert errors(world, line(custom_id="right"), "", wrong) == [(3, param, code)]


def test_all_mistakes_are_told_at_once(world: World) -> None:
    wrong = line(body={"n": 0, "size": "512"}, url=None)
    assert errors(world, wrong, line(body={"prompt": 7})) == [
        (1, "url", "missing_field"),
        (2, "prompt", "invalid_type"),
    ]


def test_of_many_mistakes_the_first_are_told_and_how_many_more(world: World) -> None:
    *first, last = told(world, *[line(body={})] * 150)
    assert [each["line"] for each in first] == list(range(1, 101))
    assert (last["line"], last["message"]) == (None, "and 50 more")


def test_a_custom_id_is_one_line_s(world: World) -> None:
    [error] = told(world, line(), line(custom_id="b"), line())
    assert (error["line"], error["param"]) == (3, "custom_id")
    assert "line 1" in error["message"]


def test_a_batch_is_drawn_by_one_model(world: World) -> None:
    world.deploy("djl")
    of = [line(custom_id=name, body={"prompt": "x", "model": name}) for name in ("g5", "djl")]
    assert errors(world, *of) == [(2, "model", "mixed_models")]


@pytest.mark.parametrize("lines", [[], ["", " "]])
def test_a_file_without_requests(world: World, lines: list[str]) -> None:
    assert errors(world, *lines) == [(None, None, "empty_file")]


@pytest.mark.parametrize(
    ("limit", "value", "lines", "code"),
    [
        ("most_lines", 2, [{}, {}, {}], "too_many_requests"),
        ("most_pictures", 5, [{"n": 3}, {"n": 3}], "too_many_pictures"),
        ("line_bytes", 100, [{"negative_prompt": "x" * 50}], "body_too_large"),
    ],
)
def test_a_batch_has_a_size(
    world: World,
    limit: str,
    value: int,
    lines: list[dict[str, Any]],
    code: str,
) -> None:
    changed: dict[str, Any] = {limit: value}
    checker = replace(world.planner.checker, **changed)
    world.planner = replace(world.planner, checker=checker)
    texts = [
        line(custom_id=str(number), body={"prompt": "x", **body})
        for number, body in enumerate(lines)
    ]
    assert [code for _, _, code in errors(world, *texts)] == [code]


def test_a_file_that_goes_before_it_is_read(world: World) -> None:
    file = world.api.files.new("in.jsonl", "batch", 9)
    world.store.add(file)
    _, _, batch = world.send("POST", "/batches", {"input_file_id": file.id, "endpoint": URL})
    world.work()
    [error] = world.get(batch["id"])["errors"]["data"]
    assert (error["param"], error["code"]) == ("input_file_id", "file_not_found")


def work(world: World, id: str) -> list[WorkLine]:
    parts = sorted(world.objects.keys(BatchKeys(id).work))
    return [
        WorkLine.from_json(text) for part in parts for text in world.objects.read(part).splitlines()
    ]


def test_a_line_becomes_work_with_all_its_defaults(world: World) -> None:
    batch = world.create({"prompt": "fox", "n": 3}, {"prompt": "fox", "seed": 7})
    first, second = work(world, batch["id"])
    assert (first.line, first.custom_id, first.images) == (1, "line 1", 3)
    assert first.invocation["num_inference_steps"] == 25
    drawn = [unit.seed for unit in first.units]
    assert drawn == list(seeds_of(drawn[0], 3))
    assert [unit.seed for unit in second.units] == [7]
    assert world.runners["real-time"].started == [batch["id"]]
    assert (batch["status"], batch["request_counts"]["total"]) == ("in_progress", 2)
    assert batch["in_progress_at"]


def test_parts_have_a_hundred_pictures_at_most_and_lines_are_whole(world: World) -> None:
    batch = world.create(*({"prompt": "fox", "n": n} for n in (60, 60, 100, 1, 99, 1)))
    keys = BatchKeys(batch["id"])
    parts = [world.objects.read(keys.part(number)).splitlines() for number in range(5)]
    found = [[WorkLine.from_json(text).line for text in part] for part in parts]
    assert found == [[1], [2], [3], [4, 5], [6]]
    assert world.store.batch(batch["id"]).parts == 5


def test_an_edit_s_pictures_lie_in_the_bucket_once(world: World) -> None:
    edit = {"prompt": "a white fox", "image": PICTURE, "strength": 0.5}
    batch = world.create(edit, {**edit, "mask": PICTURE}, url=EDITS)
    keys = BatchKeys(batch["id"])
    key = keys.edit(hashlib.sha256(PNG + b"a fox").hexdigest())
    assert world.objects.keys(f"{keys.folder}edits/") == {key}
    first, second = work(world, batch["id"])
    assert (first.invocation["image"], "mask" in first.invocation) == (key, False)
    assert second.invocation["mask"] == key
    asked = next(second.units).asked(world.objects.read)
    assert asked.edit
    assert (asked.edit.image, asked.edit.strength) == (PNG + b"a fox", 0.5)


def test_an_edit_may_begin_with_a_picture_made_here(world: World) -> None:
    _, _, made = world.front_door.generate(prompt="fox", seed=7)
    batch = world.create({"prompt": "x", "image": made["data"][0]["url"]}, url=EDITS)
    [unit] = world.units(batch["id"])
    edit = unit.asked(world.objects.read).edit
    assert edit
    assert edit.image == PNG + b"7"


def test_an_edit_s_picture_that_is_gone(world: World) -> None:
    wrong = line(url=EDITS, body={"prompt": "x", "image": "2026-11-22/gone/7.png"})
    assert errors(world, wrong, endpoint=EDITS) == [(1, "image", "picture_not_found")]


def fleet(*serve: str) -> dict[str, Any]:
    return {**FLEET, "serve": list(serve)}


@pytest.mark.parametrize(
    ("serve", "n", "engine", "chosen"),
    [
        (["real-time", "bulk"], 5, None, "real-time"),
        (["real-time", "bulk"], 6, None, "bulk"),
        (["real-time", "bulk"], 1, "bulk", "bulk"),
        (["real-time", "bulk"], 6, "real-time", "real-time"),
        (["real-time"], 6, None, "real-time"),
        (["real-time", "async"], 1, None, "async"),
        (["async", "bulk"], 6, None, "bulk"),
        (["bulk"], 1, None, "bulk"),
    ],
)
def test_the_engine_is_what_suits_or_what_is_asked_for(
    serve: list[str], n: int, engine: str | None, chosen: str
) -> None:
    with fakes.aws() as session:
        world = World(session, bulk_pictures=5)
        world.deploy("g5", fleet(*serve))
        metadata = {"engine": engine} if engine else {}
        batch = world.create({"prompt": "fox", "n": n}, metadata=metadata)
        assert batch["engine"] == chosen
        assert world.runners[chosen].started == [batch["id"]]
        price = batch["usage"]["price_usd_per_hour"]
        assert price == (1.2 if chosen == "bulk" else 1.4084)


def test_an_engine_that_the_model_has_not(world: World) -> None:
    batch = world.create({"prompt": "fox"}, metadata={"engine": "async"})
    [error] = batch["errors"]["data"]
    assert (error["line"], error["param"]) == (None, "metadata")
    assert "real-time, bulk" in error["message"]


STOPPED = {"since": "2026-11-25T12:00:00+00:00", "why": "by hand", "start": "start g5"}


def test_a_stopped_endpoint_is_sent_nothing_to_wait_for(world: World) -> None:
    world.deploy("g5", stopped=STOPPED)
    [error] = world.create({"prompt": "fox"})["errors"]["data"]
    assert (error["param"], error["code"]) == ("model", "model_stopped")
    assert error["message"].endswith("To start it: start g5")
    # What needs no endpoint goes on.
    assert world.create({"prompt": "fox"}, metadata={"engine": "bulk"})["engine"] == "bulk"


def test_a_model_whose_stack_is_older_than_batches(world: World) -> None:
    world.ssm.delete_parameter(Name="/sd/fleets/g5")
    [error] = world.create({"prompt": "fox"})["errors"]["data"]
    assert (error["param"], error["code"]) == ("model", "no_batches")


def test_what_no_request_can_be_goes_where_it_can(world: World) -> None:
    world.deploy("g5", seconds_per_step=1.0)
    slow = {"prompt": "fox", "num_inference_steps": 61}
    assert world.create(slow)["engine"] == "bulk"
    [error] = world.create(slow, metadata={"engine": "real-time"})["errors"]["data"]
    assert (error["line"], error["code"]) == (1, "too_slow")
    world.deploy("g5", fleet("real-time"), seconds_per_step=1.0)
    [error] = world.create(slow)["errors"]["data"]
    assert error["code"] == "too_slow"


def test_an_edit_larger_than_sagemaker_carries_is_no_request(world: World) -> None:
    picture = base64.b64encode(PNG + bytes(4_800_000)).decode()
    large = line(url=EDITS, body={"prompt": "fox", "image": picture})
    assert checked(world, large, endpoint=EDITS)["engine"] == "bulk"
    asked = {"engine": "real-time"}
    [error] = checked(world, large, endpoint=EDITS, metadata=asked)["errors"]["data"]
    assert (error["param"], error["code"]) == ("image", "body_too_large")


def test_a_check_that_failed_in_the_middle_goes_on(world: World) -> None:
    world.runners["real-time"].fails = OSError("no queue")
    with pytest.raises(OSError, match="no queue"):
        world.create({"prompt": "fox", "n": 2})
    [id] = [batch["id"] for batch in world.send("GET", "/batches")[2]["data"]]
    seeds = [unit.seed for unit in world.units(id)]
    world.runners["real-time"].fails = None
    world.planner.check(id)
    assert [unit.seed for unit in world.units(id)] == seeds
    world.planner.check(id)
    assert world.runners["real-time"].started == [id]


def test_a_check_that_comes_twice_at_once_writes_the_same_work(world: World) -> None:
    _, _, batch = world.send("POST", "/batches", {"requests": [json.loads(line())] * 2})
    changed = world.store.batch(batch["id"])
    lines = [line().encode(), line(custom_id="b").encode()]
    seeds = [
        [each.work.invocation["seed"] for each in world.planner.checker.check(lines, to, str).lines]
        for to in (changed, changed, replace(changed, id="batch_another"))
    ]
    assert seeds[0] == seeds[1]
    assert len({seed for found in seeds for seed in found}) == 4


def test_a_batch_cancelled_before_it_is_checked_never_starts(world: World) -> None:
    _, _, batch = world.send(
        "POST", "/batches", {"requests": [json.loads(line())], "endpoint": URL}
    )
    world.send("POST", f"/batches/{batch['id']}/cancel")
    world.work()
    assert world.get(batch["id"])["status"] == "cancelled"
    assert not any(runner.started or runner.stopped for runner in world.runners.values())


def test_openai_s_limits_hold() -> None:
    assert (contract.LINES, contract.FILE_BYTES) == (50_000, 209_715_200)
