"""The app's logic without a page: what it sends, what it reads, and what it says to send again."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from generator_app import __main__ as command
from generator_app import estimate, repeat
from generator_app.client import ApiError, Client, Variant
from generator_app.picture_file import MAX_SIDE, NoParametersError, parameters_of, parse, source
from generator_app.results import of_answer
from tests.fakes.public_api import KEY, MODEL_ID, PublicApi, model, png, served

FIELDS: dict[str, Any] = {
    "model": "g5",
    "prompt": 'it\'s a "red" heart, on blue: $HOME `id`\nsecond line',
    "size": "64x64",
    "num_inference_steps": 25,
    "guidance_scale": 7.5,
    "seed": 4294967295,
}


@pytest.fixture
def api() -> Iterator[PublicApi]:
    fake = PublicApi()
    with served(fake):
        yield fake


def test_a_picture_is_drawn_and_fetched_without_the_key_going_along(api: PublicApi) -> None:
    client = Client(api.url, KEY)
    drawn = client.draw({**FIELDS, "n": 2, "store": True})
    assert [each.seed for each in drawn.pictures] == [4294967295, 0]
    assert [each.id for each in drawn.pictures] == [each["id"] for each in api.kept[::-1]]
    results = of_answer({**FIELDS, "n": 2, "store": True}, drawn, client.models()[0])
    assert dict(results[1].fields) == {**FIELDS, "seed": 0}
    assert results[0].usd == pytest.approx(1.4084 * 0.5 / 3600)


def test_what_the_api_refuses_is_said_in_its_words(api: PublicApi) -> None:
    with pytest.raises(ApiError, match="guidance_scale") as refused:
        Client(api.url, KEY).draw({**FIELDS, "guidance_scale": 21})
    assert (refused.value.status, refused.value.code) == (400, "invalid_type")
    with pytest.raises(ApiError, match="key is missing or wrong"):
        Client(api.url, "another").models()
    with pytest.raises(ApiError, match="can't be reached") as unreachable:
        Client("http://127.0.0.1:9/v1", KEY).models()
    assert unreachable.value.status is None


def test_the_default_variant_comes_first(api: PublicApi) -> None:
    assert [each.id for each in Client(api.url, KEY).models()] == ["g5", "djl", "inf2"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"negative_prompt": "blurry,\nNegative prompt: twice"},
        {"strength": 0.6},
        {"prompt": "  spaces kept  ", "strength": 1.0},
        {"prompt": "Ein Häuschen 🏠", "guidance_scale": 1.0},
    ],
)
def test_a_png_brings_back_what_the_containers_wrote(changes: dict[str, Any]) -> None:
    fields = FIELDS | changes
    found = parameters_of(png(fields, fields["seed"]))
    del fields["model"]  # a variant's: the file names what it serves
    assert found == {**fields, "model_id": MODEL_ID, "quality": "standard"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no picture", "no picture that can be read"),
        (png(FIELDS, 1)[:200], "no picture that can be read"),
        (source(png(FIELDS, 1)).png, "doesn't say"),
    ],
)
def test_what_is_no_picture_of_ours_is_said(content: bytes, why: str) -> None:
    with pytest.raises(NoParametersError, match=why):
        parameters_of(content)


@pytest.mark.parametrize(
    "text",
    ["a heart", "Steps: many, Seed: 1", "", 'Steps: 2, Seed: "x"', 'Steps: 2, Model: "cut off'],
)
def test_a_text_of_another_tool_is_no_error_of_ours(text: str) -> None:
    with pytest.raises(NoParametersError):
        parse(text)


@pytest.mark.parametrize("value", ['"a" and "b"', r'"C:\models\a: b"', '"a\tb"'])
def test_what_isnt_asked_of_another_tools_text_may_be_anything(value: str) -> None:
    assert parse(f"a heart\nSteps: 2, Lora: {value}, Seed: 1")["num_inference_steps"] == 2


def test_a_picture_is_sent_upright_and_no_larger_than_it_may_be() -> None:
    file = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.new("RGBA", (2048, 1024), "red").convert("RGB").save(file, "jpeg", exif=exif)
    found = source(file.getvalue())
    assert (found.width, found.height) == (MAX_SIDE // 2, MAX_SIDE)
    with pytest.raises(ValueError, match="no picture that can be read"):
        source(b"GIF89a")


def test_a_large_picture_takes_no_memory_that_others_need() -> None:
    photograph, drawing = BytesIO(), BytesIO()
    Image.new("L", (8000, 6000)).save(photograph, "jpeg")
    Image.new("1", (8000, 6000)).save(drawing, "png")
    assert source(photograph.getvalue()).width == MAX_SIDE
    with pytest.raises(ValueError, match="more than 34 million pixels"):
        source(drawing.getvalue())


def test_transparency_and_16_bits_are_left_to_the_api() -> None:
    for picture, mode in (
        (Image.new("LA", (2, 2), (0, 0)), "RGBA"),
        (Image.new("RGBA", (2, 2), (200, 0, 0, 0)), "RGBA"),
        (Image.new("I;16", (2, 2), 300), "I;16"),
    ):
        file = BytesIO()
        picture.save(file, "png")
        with Image.open(BytesIO(source(file.getvalue()).png)) as sent:
            assert (sent.mode, sent.getpixel((0, 0))) == (
                mode,
                picture.convert(mode).getpixel((0, 0)),
            )


def test_a_picture_with_damaged_exif_is_said_to_be_none() -> None:
    orientation = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    place = b"\x88\x25\0\x04\0\0\0\x01\0\0\0\x26\0\0\0\0"
    # A text where a folder of more should be.
    inner = b"\0\x01\0\0\0\x02\0\0\0\x02N\0\0\0\0\0\0\0"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + orientation + place + inner
    file = BytesIO()
    Image.new("RGB", (2, 2)).save(file, "jpeg", exif=exif)
    with pytest.raises(ValueError, match="no picture that can be read"):
        source(file.getvalue())


def test_curl_sends_what_was_sent(api: PublicApi) -> None:
    subprocess.run(repeat.curl(api.url, FIELDS), shell=True, check=True, env={
        "KEY": KEY, "PATH": "/usr/bin:/bin"}, capture_output=True)  # fmt: skip
    assert api.asked == [("POST /images/generations", FIELDS)]


def test_curl_of_an_edit_is_a_form() -> None:
    line = repeat.curl("https://a.example/v1", {**FIELDS, "image": "data:…", "mask": "data:…"})
    assert "-F image=@picture.png" in line
    assert "-F mask=@mask.png" in line
    assert "--form-string seed=4294967295" in line
    assert "data:" not in line


def test_python_sends_what_was_sent(api: PublicApi) -> None:
    subprocess.run([sys.executable, "-c", repeat.python(api.url, FIELDS)], check=True, env={
        "KEY": KEY, "PATH": ""})  # fmt: skip
    assert api.asked == [("POST /images/generations", FIELDS)]


@pytest.mark.skipif(
    not (command.ROOT / "node_modules" / "openai").is_dir(), reason="npm hasn't installed anything"
)
def test_node_sends_what_was_sent(api: PublicApi, tmp_path: Path) -> None:
    script = tmp_path / "again.mjs"
    script.write_text(repeat.node(api.url, FIELDS))
    (tmp_path / "node_modules").symlink_to(command.ROOT / "node_modules")
    subprocess.run(["node", script], check=True, env={"KEY": KEY, "PATH": os.environ["PATH"]})
    assert api.asked == [("POST /images/generations", FIELDS)]


def test_an_edits_lines_can_be_read() -> None:
    fields = {**FIELDS, "image": "data:…", "strength": 0.6}
    ast.parse(written := repeat.python("https://a.example/v1", fields))
    assert "client.images.edit(\n    model='g5'" in written
    assert 'image=open("picture.png", "rb")' in written
    assert "images.edit({" in repeat.node("https://a.example/v1", fields)


def test_an_estimate_goes_by_steps_pixels_and_pictures() -> None:
    variant = Variant.of(model("g5"))
    standard, fast = variant.modes.values()
    assert estimate.seconds(variant, standard, "64x64", 25, 1) == pytest.approx(1.0)
    assert estimate.seconds(variant, standard, "96x64", 50, 2) == pytest.approx(6.0)
    assert estimate.seconds(variant, standard, "64x64", 25, 1, 0.6) == pytest.approx(0.6)
    assert estimate.seconds(variant, fast, "64x64", 10, 1) == pytest.approx(0.3)
    assert estimate.cost_usd(Variant.of(model("g5", price_usd_per_hour=None)), 1.0) is None
    assert "$1.41 an hour · about 1.0 s" in estimate.label(variant)


def test_the_command_finds_what_make_up_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SD_OUT", str(tmp_path))
    with pytest.raises(SystemExit):
        command.main([])
    assert "make up" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["--url", "https://a.example/v1"])
    assert "go together" in capsys.readouterr().err
    (tmp_path / "local.json").write_text(json.dumps({"api_url": "http://u/v1", "api_key": "k"}))
    assert command.running() == ("http://u/v1", "k")
