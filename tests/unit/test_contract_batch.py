"""A batch's work and results: what one side writes is what the other reads."""

import hashlib
from dataclasses import replace

import pytest

from sd_contract.batch import BatchKeys, Unit, UnitResult, WorkLine
from sd_contract.fields import Problem
from sd_contract.invocation import ENGINE_ERROR, STAGES, Answer, ContainerError, Edit, Refused
from sd_contract.seeds import SEEDS
from tests.fakes.front_door import generation_request

KEYS = BatchKeys("batch_1")
FILES = {b"picture": "an image", b"mask": "a mask"}
DRAWN = generation_request(seed=SEEDS - 1, num_images=3, output_format="jpeg").invocation
EDITED = replace(DRAWN, edit=Edit(b"picture", b"mask", 0.5), embed_prompt=False)


def edit_key(content: bytes) -> str:
    return KEYS.edit(hashlib.sha256(content).hexdigest())


def stored(key: str) -> bytes:
    return next(content for content in FILES if edit_key(content) == key)


def test_a_line_is_written_as_it_is_read() -> None:
    line = WorkLine.of(7, "fox", EDITED, edit_key)
    text = line.to_json()
    assert "\n" not in text
    assert WorkLine.from_json(text) == line
    assert [Unit.from_json(unit.to_json()) for unit in line.units] == list(line.units)


@pytest.mark.parametrize("invocation", [DRAWN, EDITED, replace(EDITED, edit=Edit(b"picture"))])
def test_each_picture_of_a_line_is_asked_for_alone_with_its_seed(invocation: object) -> None:
    assert isinstance(invocation, type(DRAWN))
    asked = [unit.asked(stored) for unit in WorkLine.of(7, "fox", invocation, edit_key).units]
    assert asked == [replace(invocation, num_images=1, seed=seed) for seed in invocation.seeds]


def test_the_names_of_a_line_s_objects() -> None:
    line = WorkLine.of(7, "fox", EDITED, edit_key)
    first, second, _ = line.units
    assert (first.name, second.name) == ("000007-4294967295", "000007-0")
    assert KEYS.picture(first) == "batches/batch_1/pictures/000007-4294967295.jpeg"
    assert KEYS.result(second) == "batches/batch_1/results/000007-0.json"
    assert KEYS.part(3) == "batches/batch_1/work/part-00003.jsonl"


ANSWER = Answer(
    images=(b"a picture",),
    seeds=(SEEDS - 1,),
    timings_ms=dict(zip(STAGES, (1, 0, 20, 3, 1), strict=True)),
    engine={"images_in_batch": 2, "prompt_tokens": 5, "negative_prompt_tokens": 2},
    warnings=("prompt: is long.",),
)


def test_a_result_is_written_as_it_is_read_under_its_unit_s_name() -> None:
    unit = next(WorkLine.of(7, "fox", DRAWN, edit_key).units)
    result = UnitResult.drawn(unit, KEYS.picture(unit), ANSWER)
    assert UnitResult.from_json(result.to_json()) == result
    assert KEYS.result(result) == KEYS.result(unit)
    assert result.instance_ms == ANSWER.instance_ms == 12.5


def test_a_refusal_is_told_and_an_engine_s_failure_is_not() -> None:
    unit = next(WorkLine.of(7, "fox", DRAWN, edit_key).units)
    problem = Problem("image", "image: is not a picture", "invalid_image")
    assert UnitResult.refused(unit, Refused(problem)).error == {
        "message": "image: is not a picture",
        "type": "invalid_request_error",
        "param": "image",
        "code": "invalid_image",
    }
    failed = UnitResult.refused(unit, ContainerError(ENGINE_ERROR, "CUDA out of memory at 0xbad"))
    assert failed.error is not None
    assert "CUDA" not in failed.to_json()
    assert (failed.error["type"], failed.error["code"]) == ("server_error", "engine_error")
