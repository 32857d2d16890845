"""What a picture says of itself: how it was drawn, for people's tools; that it was, for machines.

The first in the grammar of AUTOMATIC1111's web UI (modules/processing.py, create_infotext;
modules/infotext_utils.py), which the tools of Stable Diffusion read: the prompt, a line "Negative
prompt: …", and last a line of "Key: value" pairs. The second as IPTC's digital source type in XMP
(iptc.org, Digital Source Type; cv.iptc.org/newscodes/digitalsourcetype), as the EU's AI Act asks
for (Art. 50(2)).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from sd_contract.invocation import Invocation
from sd_contract.sampling import AYS, KARRAS, LINSPACE

SAMPLER = "DPM++ 2M"
"""The web UI's name of sd_serving.sampler's."""
SCHEDULE_TYPES = {KARRAS: "Karras", AYS: "Align Your Steps"}
"""Its names of `sigmas` (modules/sd_schedulers.py). It has none of linspace's, which ends at the
lowest noise level where its "Uniform" ends at none."""


def parameters(
    request: Invocation, seed: int, model: str, version: str, sigmas: str = LINSPACE
) -> str:
    """Of the image drawn from `seed`; without the prompts where they aren't to be embedded. `model`
    may be empty."""
    edit = request.edit
    pairs: Mapping[str, object] = {
        "Steps": request.num_inference_steps,
        "Sampler": SAMPLER,
        **({"Schedule type": SCHEDULE_TYPES[sigmas]} if sigmas in SCHEDULE_TYPES else {}),
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": seed,
        "Size": request.size,
        **({"Model": model} if model else {}),
        **({"Denoising strength": f"{edit.strength:g}"} if edit else {}),
        "Quality": request.quality,
        "Version": version,
        "RNG": "CPU",  # or it counts as drawn from a GPU's generator
    }
    lines = [", ".join(f"{name}: {_quoted(str(value))}" for name, value in pairs.items())]
    if request.embed_prompt and request.negative_prompt:
        lines.insert(0, f"Negative prompt: {request.negative_prompt}")
    if request.embed_prompt:
        lines.insert(0, request.prompt)
    # No text chunk can hold a NUL (PNG specification, tEXt and iTXt).
    return "\n".join(lines).replace("\0", "\ufffd")


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if set(value) & set(",:\n") else value


def xmp(*, edited: bool) -> bytes:
    kind = "compositeWithTrainedAlgorithmicMedia" if edited else "trainedAlgorithmicMedia"
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{kind}"/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def exif(user_comment: str) -> bytes:
    """An Exif block of nothing but that. By hand: not every image's Pillow writes the tag with its
    type (CIPA DC-008, UserComment: UNDEFINED, its first 8 bytes name the encoding)."""
    comment = b"UNICODE\0" + user_comment.encode("utf-16-be")
    long, undefined = 4, 7
    header = struct.pack(">2sHI", b"MM", 42, 8)
    first = struct.pack(">HHHIII", 1, 0x8769, long, 1, 26, 0)  # where the Exif directory begins
    second = struct.pack(">HHHIII", 1, 0x9286, undefined, len(comment), 44, 0)
    return b"Exif\0\0" + header + first + second + comment
