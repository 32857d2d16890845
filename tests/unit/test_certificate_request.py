"""The certificate request of a KMS key: what openssl makes of it signs pictures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from c2pa import C2paError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from content_credentials.check import PICTURE
from content_credentials.signer import PictureSigner
from sd_contract.signing import SigningRequest
from stacks.certificate_request import KmsKey, NotThatKind, certificate_request
from stacks.settings import ROOT
from tests.fakes.content_credentials import KEY_ARN, FakeKms, verify


def test_a_request_says_whose_key_it_is_and_what_for() -> None:
    kms = FakeKms()
    text = certificate_request(KmsKey(kms, KEY_ARN), "A Gallery")
    request = x509.load_pem_x509_csr(text.encode())
    assert request.is_signature_valid
    assert request.public_key() == kms.key.public_key()
    assert request.subject.rfc4514_string() == "CN=A Gallery,O=A Gallery"
    usage = request.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature


def test_a_key_of_another_curve_is_refused() -> None:
    kms = FakeKms(ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(NotThatKind, match="ECC_NIST_P256"):
        certificate_request(KmsKey(kms, KEY_ARN), "A Gallery")


def documented() -> list[str]:
    """The commands of docs/operations.md that make an authority of one's own."""
    text = (ROOT / "docs/operations.md").read_text()
    (block,) = [each for each in text.split("```") if "-copy_extensions" in each]
    return block.strip().splitlines()


def test_the_authority_in_the_docs_is_good_for_trying_it_out(tmp_path: Path) -> None:
    kms = FakeKms()
    (tmp_path / "signing.csr").write_text(certificate_request(KmsKey(kms, KEY_ARN), "A Gallery"))
    for command in documented():
        subprocess.run(command, cwd=tmp_path, shell=True, check=True, capture_output=True)
    chain = (tmp_path / "chain.pem").read_text()
    (signed,) = PictureSigner(kms, KEY_ARN, chain, "").sign(
        SigningRequest((PICTURE,), "image/png", "a/model")
    )
    anchor = (tmp_path / "authority.pem").read_text()
    found = verify(signed, "image/png", anchor)
    assert (found.state, found.manifest["signature_info"]["issuer"]) == ("Trusted", "A Gallery")
    with pytest.raises(C2paError):
        verify(PICTURE, "image/png", anchor)
