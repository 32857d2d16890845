"""A batch's end: every line in one place and in order, whatever happened on the way, told once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from batches.checker.finishing import RESERVE_S
from sd_contract.batch import BatchKeys
from tests.fakes import batches as fakes
from tests.fakes.batches import FLEET, World

DAY_S = 86_400


@pytest.fixture
def world() -> Iterator[World]:
    with fakes.aws() as session:
        yield World(session)


def run(world: World, *bodies: dict[str, Any]) -> dict[str, Any]:
    """A batch that is drawn to its end."""
    id = world.create(*bodies)["id"]
    world.draw(id)
    world.work()
    return world.get(id)


def test_lines_come_in_order_with_their_pictures_in_order(world: World) -> None:
    bodies: list[dict[str, Any]] = [
        {"prompt": f"fox {n}", "n": n % 4 * 20 + 1, "seed": n} for n in range(12)
    ]
    id = world.create(*bodies)["id"]
    keys = BatchKeys(id)
    for unit in sorted(world.units(id), key=lambda unit: unit.seed, reverse=True):
        result = fakes.drawn(unit, keys.picture(unit)).to_json()
        world.objects.put(keys.result(unit), result.encode(), "application/json")
    world.functions.asked.append(("finish", id))
    world.work()
    lines = world.lines(world.get(id)["output_file_id"])
    assert [line["custom_id"] for line in lines] == [f"line {n}" for n in range(1, 13)]
    seeds = [[each["seed"] for each in line["response"]["body"]["data"]] for line in lines]
    assert seeds == [list(range(n, n + body["n"])) for n, body in enumerate(bodies)]


def test_a_line_is_answered_as_a_request_is(world: World) -> None:
    body = {"prompt": "fox", "seed": 7, "n": 2, "output_format": "webp"}
    _, _, answered = world.front_door.generate(**body)
    [line] = world.lines(run(world, body)["output_file_id"])
    in_batch = line["response"]["body"]
    assert in_batch.keys() == answered.keys()
    same = ("model", "size", "output_format", "background")
    assert [in_batch[name] for name in same] == [answered[name] for name in same]
    assert in_batch["usage"] == {**answered["usage"], "seconds": 0.041}
    assert [each.keys() for each in in_batch["data"]] == [each.keys() for each in answered["data"]]


def test_what_failed_is_in_the_error_file_and_what_was_drawn_in_the_output(world: World) -> None:
    batch = run(world, {"prompt": "fox"}, {"prompt": "fails"}, {"prompt": "fox"})
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    output = world.lines(batch["output_file_id"])
    [error] = world.lines(batch["error_file_id"])
    assert [line["custom_id"] for line in output] == ["line 1", "line 3"]
    assert (error["custom_id"], error["error"]) == ("line 2", None)
    assert error["response"]["status_code"] == 500
    assert error["response"]["body"]["error"]["code"] == "engine_error"
    assert batch["status"] == "completed"


def test_a_batch_whose_every_line_failed_has_no_output(world: World) -> None:
    batch = run(world, {"prompt": "fails"})
    assert (batch["status"], batch["output_file_id"]) == ("completed", None)


def test_what_there_is_of_a_line_is_given_and_so_is_what_is_missing(world: World) -> None:
    id = world.create({"prompt": "fox", "n": 5})["id"]
    world.draw(id, 2)
    world.send("POST", f"/batches/{id}/cancel")
    world.work()
    batch = world.get(id)
    assert batch["request_counts"] == {"total": 1, "completed": 0, "failed": 0}
    [line] = world.lines(batch["output_file_id"])
    assert len(line["response"]["body"]["data"]) == 2
    assert line["response"]["body"]["warnings"] == ["n: 2 of the 5 pictures were drawn."]
    [error] = world.lines(batch["error_file_id"])
    assert error["error"]["code"] == "batch_cancelled"


def test_what_a_batch_cost_is_in_it(world: World) -> None:
    usage = run(world, *[{"prompt": "fox", "n": 10}] * 5)["usage"]
    assert (usage["pictures"], usage["instance_seconds"]) == (50, 1.02)
    assert usage["cost_usd"] == pytest.approx(1.02 / 3600 * 1.4084, abs=1e-6)


def test_a_bulk_job_costs_what_is_billed(world: World) -> None:
    id = world.create({"prompt": "fox", "n": 10}, metadata={"engine": "bulk"})["id"]
    world.draw(id)
    world.store.change(id, ("in_progress",), billed_s=1800)
    world.work()
    usage = world.get(id)["usage"]
    assert (usage["instance_seconds"], usage["cost_usd"]) == (1800, 0.6)


def test_without_a_price_there_is_no_cost(world: World) -> None:
    none = {"price_usd_per_hour": None, "price_date": None, "price_source": None}
    world.deploy("g5", FLEET, **none)
    usage = run(world, {"prompt": "fox"})["usage"]
    assert (usage["price_usd_per_hour"], usage["cost_usd"]) == (None, None)


def test_the_end_is_told_once(world: World) -> None:
    batch = run(world, {"prompt": "fox"})
    world.finisher.finish(batch["id"], world.left_s)
    [event] = world.events.told
    assert event["Source"] == "sd.batches"
    assert event["DetailType"] == "Batch State Change"
    assert event["Detail"] == batch
    assert world.get(batch["id"]) == batch


def test_an_end_that_could_not_be_told_is_told_later(world: World) -> None:
    world.events.refuses = 1
    id = world.create({"prompt": "fox"})["id"]
    world.draw(id)
    with pytest.raises(RuntimeError, match="ThrottlingException"):
        world.work()
    world.finisher.finish(id, world.left_s)
    assert [event["Detail"]["status"] for event in world.events.told] == ["completed"]


def running_out(times: int) -> Callable[[], float]:
    """Of a function that has time for so many parts."""
    asked = count(1)
    return lambda: RESERVE_S + 1 if next(asked) % (times + 1) else RESERVE_S - 1


def test_what_there_is_no_time_for_another_call_does(world: World) -> None:
    world.left_s = running_out(2)
    batch = run(world, *[{"prompt": "fox", "n": 60}] * 5)
    assert batch["request_counts"]["completed"] == 5
    assert [line["custom_id"] for line in world.lines(batch["output_file_id"])] == [
        f"line {n}" for n in range(1, 6)
    ]
    assert batch["usage"]["pictures"] == 300


def test_a_batch_out_of_time_is_stopped_and_has_what_was_drawn(world: World) -> None:
    id = world.create({"prompt": "fox"}, {"prompt": "fox"}, completion_window="2h")["id"]
    world.draw(id, 1)
    world.clock.now += 2 * 3600 + 1
    assert world.get(id)["status"] == "in_progress"
    world.work()
    assert world.runners["real-time"].stopped == [id]
    batch = world.get(id)
    assert (batch["status"], batch["expired_at"] > batch["expires_at"]) == ("expired", True)
    assert len(world.lines(batch["output_file_id"])) == 1
    [missing] = world.lines(batch["error_file_id"])
    assert missing["error"]["code"] == "batch_expired"


def test_a_batch_that_is_done_in_time_and_finished_after_it_is_complete(world: World) -> None:
    id = world.create({"prompt": "fox"}, completion_window="1h")["id"]
    world.draw(id)
    world.clock.now += DAY_S
    world.work()
    assert world.get(id)["status"] == "completed"


def test_stop_is_for_what_is_cancelled_or_late(world: World) -> None:
    id = world.create({"prompt": "fox"})["id"]
    world.finisher.stop(id, world.left_s)
    assert (world.get(id)["status"], world.slept_s) == ("in_progress", [])


def test_what_was_at_hand_counts_and_what_comes_later_does_not(world: World) -> None:
    id = world.create(*[{"prompt": "fox"}] * 3)["id"]
    world.send("POST", f"/batches/{id}/cancel")
    world.finisher = replace(world.finisher, sleep=lambda _: world.draw(id, 1))
    world.work()
    batch = world.get(id)
    assert batch["usage"]["pictures"] == 1
    world.draw(id, 2)
    assert world.get(id) == batch


def test_a_bulk_job_that_is_stopped_says_itself_when_it_has(world: World) -> None:
    world.runners["bulk"].at_hand_s = None
    id = world.create({"prompt": "fox"}, metadata={"engine": "bulk"})["id"]
    world.send("POST", f"/batches/{id}/cancel")
    world.work()
    assert (world.get(id)["status"], world.runners["bulk"].stopped) == ("cancelling", [id])
    world.functions.asked.append(("finish", id))
    world.work()
    assert world.get(id)["status"] == "cancelled"
