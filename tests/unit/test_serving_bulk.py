from __future__ import annotations

import inspect
import io
import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from sd_contract.batch import BatchKeys, UnitResult, WorkLine
from sd_contract.batch_store import BatchStore
from sd_contract.bulk_job import BulkJob
from sd_contract.invocation import Edit
from sd_contract.signing import SigningRequest, pictures_document
from sd_serving import bulk
from sd_serving.bulk import STOPPED, draw_all, main, pending
from sd_serving.engine import Engine
from sd_serving.errors import EngineError
from tests.fakes.batch_objects import BUCKET, FakeBatchBucket
from tests.fakes.serving import (
    ENV,
    FakeParts,
    LogDouble,
    config,
    failing,
    make_artifact,
    picture_file,
    request,
)

KEYS = BatchKeys("batch_1")
CONFIG = config(SD_SIZES="64x64")


class Killed(BaseException):
    """As SIGKILL ends a process: nothing of it catches this."""


def work_line(line: int, **changes: object) -> WorkLine:
    asked = request(num_inference_steps=1, **{"seed": line * 100, **changes})
    return WorkLine.of(line, f"request-{line}", asked, lambda file: KEYS.edit(str(len(file))))


class Job:
    """One instance's, with the parts that it was given."""

    def __init__(self, folder: Path, lines: list[WorkLine], lines_a_part: int = 10) -> None:
        self.bucket = FakeBatchBucket()
        self.store = BatchStore(self.bucket, BUCKET, KEYS)
        self.lines, self.log = lines, LogDouble()
        self.folder = folder
        for number, start in enumerate(range(0, len(lines), lines_a_part)):
            part = lines[start : start + lines_a_part]
            text = "".join(f"{line.to_json()}\n" for line in part)
            (folder / f"part-{number:05d}.jsonl").write_text(text)
        self.loads = 0
        self.stop = threading.Event()

    def run(self, parts: FakeParts | None = None, at_once: int = 1) -> bool:
        def load() -> Engine:
            self.loads += 1
            return Engine(parts or FakeParts(), CONFIG)

        units = pending(sorted(self.folder.glob("*.jsonl")), self.store)
        return draw_all(units, self.store, load, self.stop, self.log, at_once)

    @property
    def units(self) -> int:
        return sum(line.images for line in self.lines)

    @property
    def results(self) -> list[UnitResult]:
        return [
            UnitResult.from_json(self.bucket.objects[k]) for k in self.bucket.below(KEYS.results)
        ]

    def drawn(self) -> int:
        """How often a picture was stored."""
        return sum(key.startswith(f"{KEYS.folder}pictures/") for key in self.bucket.puts)


@pytest.fixture
def job(tmp_path: Path) -> Callable[[list[WorkLine]], Job]:
    return lambda lines: Job(tmp_path, lines)


Make = Callable[[list[WorkLine]], Job]


def test_draws_each_picture_as_it_is_drawn_alone(job: Make) -> None:
    lines = [work_line(1, num_images=3), work_line(2, output_format="jpeg")]
    it = job(lines)
    assert it.run()
    assert [(each.name, each.error) for each in it.results] == [
        ("000001-100", None),
        ("000001-101", None),
        ("000001-102", None),
        ("000002-200", None),
    ]
    (alone,) = Engine(FakeParts(), CONFIG).generate([request(num_inference_steps=1, seed=102)])
    key = it.results[2].key
    assert key == "batches/batch_1/pictures/000001-102.png"
    assert it.bucket.objects[key] == alone.images[0]
    assert it.bucket.types["batches/batch_1/pictures/000002-200.jpeg"] == "image/jpeg"
    assert it.results[0].timings_ms.keys() == alone.timings_ms.keys()
    assert it.results[0].engine["images_in_batch"] == 1


def test_pictures_of_one_kind_are_drawn_together_where_there_are_batches(job: Make) -> None:
    it = job([work_line(1, num_images=3), work_line(2), work_line(3, quality="fast")])
    parts = FakeParts(max_pictures_per_pass=3)
    assert it.run(parts, at_once=3)
    # Guided both: three of the first line, the second line's, and that of the other mode.
    assert [len(latents) for latents, _, _ in parts.denoise_calls] == [6, 2, 2]
    assert [each.engine["images_in_batch"] for each in it.results] == [3, 3, 3, 1, 1]
    (alone,) = Engine(FakeParts(), CONFIG).generate([request(num_inference_steps=1, seed=102)])
    assert it.bucket.objects[KEYS.folder + "pictures/000001-102.png"] == alone.images[0]


def test_one_that_fails_or_is_refused_spoils_no_other_of_its_batch(job: Make) -> None:
    fine, bad = picture_file(), b"not a picture"
    it = job([work_line(n, edit=Edit(file)) for n, file in enumerate((fine, bad, fine), 1)])
    for file in (fine, bad):
        it.bucket.objects[KEYS.edit(str(len(file)))] = file
    assert it.run(FakeParts(max_pictures_per_pass=3), at_once=3)
    assert [each.error is None for each in it.results] == [True, False, True]
    it = Job(it.folder, [work_line(1, num_images=2)])
    fails = fail_pictures_only(failing(RuntimeError("of the device"), 3))
    assert it.run(FakeParts(max_pictures_per_pass=3, before_denoise=fails), at_once=3)
    assert [each.error is None for each in it.results] == [False, True]


def kill_after(puts: int) -> Callable[[str], None]:
    left = iter(range(puts))

    def on_put(_: str) -> None:
        if next(left, None) is None:
            raise Killed

    return on_put


@pytest.mark.parametrize(("page", "at_once"), [(1000, 1), (7, 1), (1000, 4)])
def test_a_job_killed_at_any_put_loses_and_doubles_nothing(
    job: Make, page: int, at_once: int
) -> None:
    it = job([work_line(line, num_images=1 + line % 3) for line in range(1, 13)])
    it.bucket.page = page
    kills = 0
    for puts in (5, 12, 0, 1, 8, 3):
        it.bucket.on_put = kill_after(puts)
        with pytest.raises(Killed):
            it.run(at_once=at_once)
        kills += 1
    it.bucket.on_put = lambda _: None
    assert it.run(at_once=at_once)
    assert len(it.results) == it.units
    assert len({each.name for each in it.results}) == it.units
    # Once each, but for those at hand whose result wasn't there yet.
    assert it.units <= it.drawn() <= it.units + kills


def test_a_job_with_nothing_left_ends_before_it_loads_the_model(job: Make) -> None:
    it = job([work_line(1), work_line(2)])
    assert it.run()
    assert it.loads == 1
    assert it.run()
    assert it.loads == 1
    assert it.drawn() == 2


def test_other_lines_results_are_not_taken_for_a_parts_own(tmp_path: Path) -> None:
    it = Job(tmp_path, [work_line(line) for line in range(1, 31)])
    others = [tmp_path / "part-00000.jsonl", tmp_path / "part-00002.jsonl"]
    units = pending(others, it.store)
    draw_all(units, it.store, lambda: Engine(FakeParts(), CONFIG), it.stop, it.log)
    assert it.store.done(it.lines[10:20]) == set()
    assert len(it.store.done(it.lines[20:])) == 10
    assert [unit.line for unit in pending(sorted(tmp_path.glob("*")), it.store)] == list(
        range(11, 21)
    )


def test_a_stop_lets_the_picture_at_hand_be_finished(job: Make) -> None:
    it = job([work_line(line) for line in range(1, 6)])
    drawing = iter(range(5))

    def stop_at_the_third() -> None:
        if next(drawing) == 2:
            it.stop.set()

    assert not it.run(FakeParts(before_denoise=stop_at_the_third))
    assert [each.line for each in it.results] == [1, 2, 3]


def test_what_cannot_be_edited_is_a_result_that_names_the_field(job: Make) -> None:
    it = job([work_line(1, edit=Edit(b"not a picture")), work_line(2, edit=Edit(picture_file()))])
    for file in (b"not a picture", picture_file()):
        it.bucket.objects[KEYS.edit(str(len(file)))] = file
    assert it.run()
    refused, drawn = it.results
    assert refused.error == {
        "message": "image: must be a PNG, JPEG or WebP file",
        "type": "invalid_request_error",
        "param": "image",
        "code": "invalid_picture",
    }
    assert drawn.error is None


@pytest.mark.parametrize(("failures", "drawn"), [(1, True), (2, False)])
def test_a_failed_picture_is_tried_once_more(job: Make, failures: int, drawn: bool) -> None:
    it = job([work_line(1), work_line(2)])
    left = iter([True] * failures)

    def fail() -> None:
        if next(left, False):
            raise RuntimeError("of the device")

    assert it.run(FakeParts(before_denoise=fail_pictures_only(fail)))
    assert [each.error is None for each in it.results] == [drawn, True]
    if not drawn:
        assert it.results[0].error is not None
        assert "device" not in it.results[0].error["message"]
        assert any("of the device" in str(line.get("reason")) for line in it.log.lines)


def fail_pictures_only(fail: Callable[[], None]) -> Callable[[], None]:
    """Warm-ups take two steps, this file's pictures one."""

    def before_denoise() -> None:
        if not any(frame.function == "warm_up" for frame in inspect.stack(0)):
            fail()

    return before_denoise


def test_an_engine_that_cannot_compute_any_more_ends_the_job(job: Make) -> None:
    it = job([work_line(1)])
    parts = FakeParts(before_denoise=failing(RuntimeError("CUDA error: device-side assert"), 9))
    with pytest.raises(EngineError, match="device-side assert"):
        it.run(parts)
    assert it.results == []


# The process as SageMaker starts it.


@pytest.fixture
def opt_ml(tmp_path: Path) -> Path:
    for folder in ("input/data/work", "output"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def environment(root: Path, **changes: str) -> dict[str, str]:
    return {
        **ENV,
        "SD_SIZES": "64x64",
        "SD_LOADER": "g5.inference:load",
        "SD_OPT_ML": str(root),
        **BulkJob(BUCKET, "batch_1").to_env(),
        **changes,
    }


def put_work(root: Path, *lines: WorkLine) -> None:
    text = "".join(f"{line.to_json()}\n" for line in lines)
    (root / "input/data/work/part-00000.jsonl").write_text(text)


@pytest.mark.parametrize(
    ("loader", "options"),
    [
        ("g5.inference:load", {}),
        ("djl.loading:load", {"OPTION_ACCELERATION": "pytorch", "OPTION_MAX_UNET_ROWS": "2"}),
    ],
)
def test_the_process_draws_with_the_variants_own_loader_and_artifact(
    opt_ml: Path, loader: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact(opt_ml / "input/data/model")
    put_work(opt_ml, work_line(1, num_images=2))
    for name, value in options.items():
        monkeypatch.setenv(name, value)
    bucket, log = FakeBatchBucket(), LogDouble()
    assert main(environment(opt_ml, SD_LOADER=loader), lambda _: bucket, log) == 0
    pictures = bucket.below("batches/batch_1/pictures/")
    assert len(pictures) == 2
    assert Image.open(io.BytesIO(bucket.objects[pictures[0]])).size == (64, 64)
    assert [line["event"] for line in log.lines] == ["ready", "drawn", "drawn", "finished"]
    assert "a red circle" not in json.dumps(log.lines, default=str)


def test_where_pictures_are_signed_a_jobs_are(opt_ml: Path) -> None:
    make_artifact(opt_ml / "input/data/model")
    put_work(opt_ml, work_line(1, edit=Edit(file := picture_file())))
    bucket, asked = FakeBatchBucket(), []
    bucket.objects[KEYS.edit(str(len(file)))] = file

    class Functions:
        def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, object]:
            event = json.loads(Payload)
            asked.append((FunctionName, event["key"], SigningRequest.read(event["document"])))
            answer = {"key": "", "document": pictures_document((b"signed",))}
            return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    told = environment(opt_ml, SD_SIGNING_FUNCTION="signer", SD_PICTURE_BUCKET="pictures")
    clients = {"s3": bucket, "lambda": Functions()}
    assert main(told, lambda service: clients[service], LogDouble()) == 0
    [(function, key, wanted)] = asked
    assert (function, key) == ("signer", "signing/batch_1-000001-100.json")
    assert (wanted.media_type, wanted.parent) == ("image/png", file)
    assert bucket.objects["batches/batch_1/pictures/000001-100.png"] == b"signed"


def test_sigterm_ends_the_process_after_the_picture_at_hand(opt_ml: Path) -> None:
    make_artifact(opt_ml / "input/data/model")
    put_work(opt_ml, *(work_line(line) for line in range(1, 4)))
    bucket = FakeBatchBucket()
    bucket.on_put = lambda _: signal.raise_signal(signal.SIGTERM)
    assert main(environment(opt_ml), lambda _: bucket, LogDouble()) == STOPPED
    assert len(bucket.below(KEYS.results)) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SD_BATCH_ID": ""}, "SD_BATCH_ID is missing: a batch's id"),
        ({"SD_ARTIFACT_KEY": "other"}, "manifest.json"),
        ({"SD_LOADER": "nowhere:load"}, "SD_LOADER='nowhere:load' names no function"),
    ],
)
def test_the_reason_of_a_failure_is_the_jobs(
    opt_ml: Path, changes: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_work(opt_ml, work_line(1))
    assert main(environment(opt_ml, **changes), lambda _: FakeBatchBucket(), LogDouble()) == 1
    failure = (opt_ml / "output/failure").read_text()
    assert said in failure
    assert f"FATAL: {failure}" in capsys.readouterr().out


def test_a_picture_that_cannot_be_stored_ends_the_job(opt_ml: Path) -> None:
    make_artifact(opt_ml / "input/data/model")
    put_work(opt_ml, work_line(1))
    bucket = FakeBatchBucket()

    def refuse(_: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

    bucket.on_put = refuse
    assert main(environment(opt_ml), lambda _: bucket, LogDouble()) == 1
    assert "AccessDenied" in (opt_ml / "output/failure").read_text()


def test_the_client_of_s3_is_one_that_every_image_has() -> None:
    """botocore's alone: DJL's image lacks boto3."""
    assert "import boto3" not in Path(bulk.__file__).read_text()
