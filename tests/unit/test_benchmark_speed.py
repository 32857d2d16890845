"""`benchmark speed`: its page and record, and each measurement once on the small model. No test
looks at how long anything took."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import main, parse
from benchmark.errors import BenchmarkError
from benchmark.options import SpeedOptions
from benchmark.quality.settings import named
from benchmark.speed import batches, counted, load, make_test, pictures, synth
from benchmark.speed.command import Bench, Measure, measures, speed
from benchmark.speed.counted import LOCAL
from benchmark.speed.full_size import KEY, make_full_size
from benchmark.speed.levers import AS_SET, ON_CPU, ON_GPU
from benchmark.speed.record import page, read_record, write_record
from benchmark.speed.rows import BY_NAME, GPU, ROWS, Measured
from benchmark.speed.start import start
from g5.options import LEVERS, DiffusersOptions
from sd_contract.sampling import FAST, STANDARD
from sd_serving.config import ServingConfig
from sd_serving.weights import check_weights
from stacks import settings
from tests.fakes.serving import WEIGHTS, picture_file

FOUND = Measured(1.0, 2.0, "the same", "few steps", "a processor", "2026-11-26")
UNNAMED = [row.name for row in ROWS if row.section != GPU and not row.when_named]
"""What is measured without a GPU where no row is named."""
OF_THE_SMALL_MODEL = {"_class_name", "_diffusers_version", "architectures", "torch_dtype", "dtype"}


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the small model's size, as those of the full size are made."""
    folder = tmp_path_factory.mktemp("random")
    sizes = {
        part: {
            name: value
            for name, value in json.loads((WEIGHTS / part / "config.json").read_bytes()).items()
            if name not in OF_THE_SMALL_MODEL
        }
        for part in ("unet", "vae", "text_encoder")
    }
    (folder / "sizes.json").write_text(json.dumps(sizes))
    return make_full_size(folder / "weights", folder / "sizes.json")


def options(tmp_path: Path, only: tuple[str, ...] | None = None) -> SpeedOptions:
    return SpeedOptions(only=only, page=tmp_path / "speed.md")


def doubles(*names: str) -> dict[str, Measure]:
    return {name: lambda _: FOUND for name in names or BY_NAME}


def test_every_row_has_a_measurement() -> None:
    assert list(measures()) == [row.name for row in ROWS]


def test_the_page_says_what_was_not_measured_and_what_is_reached() -> None:
    text = page({"picture-cpu": FOUND, "start": replace(FOUND, ours=4.0)})
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert list(rows) == [row.name for row in ROWS]
    assert "| 0.50 | ≤ 0.95: reached |" in rows["picture-cpu"]
    assert "| 2.00 | ≤ 0.35: not reached |" in rows["start"]
    assert rows["load-gpu"].count("not measured here") == 2
    assert "| – | ≥ 1.50 |" in rows["load-gpu"]
    assert "few steps; a processor, 2026-11-26; `python -m benchmark speed --only start`" in text


def test_more_is_better_where_the_row_says_so() -> None:
    assert BY_NAME["load-gpu"].is_reached(1.6)
    assert not BY_NAME["load-gpu"].is_reached(1.4)


def test_without_a_gpu_its_rows_stay_as_another_machine_left_them(tmp_path: Path) -> None:
    elsewhere = replace(FOUND, machine="an A10G")
    write_record(tmp_path / "speed.json", {"picture-gpu": elsewhere})
    rest = doubles(*UNNAMED)
    text = speed(options(tmp_path), rest, lambda: False)
    assert (tmp_path / "speed.md").read_text() == text
    record = read_record(tmp_path / "speed.json")
    assert record == dict.fromkeys(UNNAMED, FOUND) | {"picture-gpu": elsewhere}


def test_with_one_they_are_measured(tmp_path: Path) -> None:
    speed(options(tmp_path, tuple(BY_NAME)), doubles(), lambda: True)
    assert read_record(tmp_path / "speed.json") == dict.fromkeys(BY_NAME, FOUND)


def test_some_rows_leave_the_others(tmp_path: Path) -> None:
    write_record(tmp_path / "speed.json", {"synth": replace(FOUND, ours=9.0)})
    speed(options(tmp_path, ("start",)), doubles("start"), lambda: False)
    assert read_record(tmp_path / "speed.json")["synth"].ours == 9.0


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path) -> None:
    def fails(_: Bench) -> Measured:
        raise BenchmarkError("the server ended")

    with pytest.raises(BenchmarkError, match="the server ended"):
        speed(options(tmp_path, ("start", "synth")), {**doubles("start"), "synth": fails})
    assert list(read_record(tmp_path / "speed.json")) == ["start"]


@pytest.mark.parametrize(
    ("only", "said"), [("starts", "--only starts: one of flops-"), ("load-gpu", "sees no GPU")]
)
def test_rows_that_cannot_be_measured_are_refused(tmp_path: Path, only: str, said: str) -> None:
    with pytest.raises(BenchmarkError, match=said):
        speed(options(tmp_path, (only,)), doubles(), lambda: False)


def test_a_broken_record_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "speed.json").write_text('{"start": {"ours": 1}}')
    assert main(["speed", "--only", "start", "--page", str(tmp_path / "speed.md")]) == 1
    assert "speed.json is no record of speeds" in capsys.readouterr().err


def test_options_of_the_command_line() -> None:
    assert parse(["speed", "--only", "start,synth"])[1] == SpeedOptions(only=("start", "synth"))


@pytest.mark.parametrize(("profile", "mode"), [("", STANDARD), (LOCAL, STANDARD), (LOCAL, FAST)])
def test_counts_the_work_of_the_unet(profile: str, mode: str) -> None:
    found = counted.work(profile, mode)
    rows = int(found.conditions.split(": ")[1].split()[0])
    assert f"{rows} rows against 102" in found.conditions
    # With every step full it is the rows' share, else less.
    assert 0 < found.ratio <= rows / 102 + 1e-9
    assert ("right" in found.difference) == (profile == LOCAL)


def test_says_what_less_work_does_to_the_picture() -> None:
    quality = {
        "25-linspace": {"scores": {"all right": 0.985}, "db_median": 46.04},
        "15-karras": {"scores": {"all right": 0.99}, "db_median": 48.2},
    }
    assert counted.difference(named("15-karras"), quality) == (
        "99.0% right, 48.2 dB to 100 steps; 25-linspace: 98.5% right, 46.0 dB to 100 steps"
    )
    assert "not measured" in counted.difference(named("14-karras"), quality)


def test_draws_the_same_picture_as_the_plain_pipeline() -> None:
    found = pictures.picture(WEIGHTS, "cpu", side=64, steps=2, rounds=1)
    assert found.ours > 0
    assert found.theirs > 0
    assert_alike(found.difference)


@pytest.mark.parametrize("name", ON_CPU)
def test_a_lever_draws_the_same_picture(name: str) -> None:
    found = pictures.lever(WEIGHTS, "cpu", ON_CPU[name], side=64, steps=2, rounds=1, in_turn=True)
    assert "the least of 1 in turn" in found.conditions
    assert_alike(found.difference)


def test_a_known_text_draws_what_a_new_one_draws() -> None:
    found = pictures.prompt_cache(WEIGHTS, "cpu", side=64, steps=1, rounds=1)
    assert found.difference == "the same, bit for bit"


def test_pictures_of_one_request_are_those_of_a_request_each() -> None:
    found = pictures.files(WEIGHTS, "cpu", side=64, steps=1, rounds=1)
    assert found.difference == "the same, bit for bit"
    assert found.conditions.startswith("4 pictures, 64x64, 1 steps")


def test_levers_on_a_gpu_start_from_what_is_deployed() -> None:
    context = json.loads((settings.ROOT / "cdk.json").read_bytes())["context"]
    environment = settings.load(context).variant("g5").environment()
    assert DiffusersOptions.from_env(environment) == AS_SET
    assert {name for name in ON_GPU if name in LEVERS} == {*LEVERS}


def assert_alike(said: str) -> None:
    assert said == "the same, bit for bit" or float(said.split()[1]) > 50


def test_a_different_picture_is_said() -> None:
    assert pictures.said_difference(picture_file(), picture_file()) == "the same, bit for bit"
    assert pictures.said_difference(picture_file(grey=0), picture_file(grey=255)) == "PSNR 0.0 dB"


@pytest.mark.local
def test_djl_answers_together_what_it_answers_one_by_one() -> None:
    assert_alike(batches.djl_batches(requests=2, steps=1, rounds=1).difference)


class Drawn:
    """A server that says how it was started by the grey of its pictures."""

    def __init__(self, together: bool) -> None:
        self._picture = b64encode(picture_file(grey=255 * together)).decode()

    def wait(self) -> None:
        pass

    def draw_together(self, asked: list[object], callers: int) -> list[dict[str, Any]]:
        assert callers == load.CALLERS
        return [{"images": [self._picture]} for _ in asked]


def test_load_is_of_a_server_that_draws_together_and_one_that_does_not() -> None:
    @contextmanager
    def serve(module: Sequence[str], env: Mapping[str, str]) -> Iterator[Any]:
        assert module == ["sd_serving.server"]
        ServingConfig.from_env(env)
        yield Drawn("SD_MAX_BATCH_SIZE" in env)

    assert load.load_small(serve=serve).difference == "PSNR 0.0 dB"


def test_random_weights_are_a_whole_model(random_weights: Path) -> None:
    check_weights(random_weights, KEY)


@pytest.mark.local
def test_starts_from_a_folder_and_from_an_archive(random_weights: Path, tmp_path: Path) -> None:
    found = start(random_weights, tmp_path, "cpu", 1)
    assert "whose extraction takes" in found.conditions
    assert found.ours > 0


def test_synths_take_turns() -> None:
    ran: list[str] = []
    found = synth.synth(2, ran.append)
    assert ran == [synth.APP, synth.UNCHECKED] * 2
    assert found.ours >= 0


def test_a_synth_that_fails_is_no_measurement() -> None:
    with pytest.raises(BenchmarkError, match="cdk synth --app 'false'"):
        synth.run("false")


def test_the_tests_run_both_ways() -> None:
    ran: list[str] = []
    assert make_test.make_test(ran.append).ours >= 0
    assert ran == ["test", "in-turn"]


def test_tests_that_fail_are_no_measurement() -> None:
    with pytest.raises(BenchmarkError, match="make no-such-target: "):
        make_test.run("no-such-target")
