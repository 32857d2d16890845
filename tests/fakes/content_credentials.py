"""A certificate authority, a KMS with its key here, and a verifier that trusts the authority."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from c2pa import Context, Reader
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
EMAIL = "1.3.6.1.5.5.7.3.4"
C2PA_CLAIMS = "1.3.6.1.4.1.62558.2.1"
DAY = timedelta(days=1)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class FakeKms:
    """One key, ECC_NIST_P256; `refusal` is what it answers instead."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    refusal: Exception | None = None
    calls: int = 0

    def get_public_key(self, KeyId: str) -> dict[str, bytes]:
        assert KeyId == KEY_ARN
        public = self.key.public_key()
        return {"PublicKey": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)}

    def sign(
        self, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str
    ) -> dict[str, Any]:
        assert (KeyId, SigningAlgorithm) == (KEY_ARN, "ECDSA_SHA_256")
        # KMS takes a message up to 4096 bytes, or its digest (API reference, Sign).
        assert (MessageType, len(Message)) == ("DIGEST", 32)
        self.calls += 1
        if self.refusal:
            raise self.refusal
        signature = self.key.sign(Message, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return {"Signature": signature, "KeyId": KeyId, "SigningAlgorithm": SigningAlgorithm}


class Authority:
    """A root, and an authority below it that issues; `chain` leaves the root out."""

    def __init__(self) -> None:
        self._root_key, self._key = new_key(), new_key()
        self._root = self._issue("Root", self._root_key, None)
        self._own = self._issue("Issuing", self._key, self._root)

    @cached_property
    def anchor(self) -> str:
        return _pem(self._root)

    def chain(
        self,
        key: ec.EllipticCurvePublicKey,
        *,
        purpose: str = EMAIL,
        valid: tuple[timedelta, timedelta] = (-DAY, 90 * DAY),
        organization: str = "A Gallery",
    ) -> str:
        """PEM; `valid` is from and to, from now."""
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
        builder = self._builder(name, key, self._own.subject, *valid)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical)
        return _pem(builder.sign(self._key, hashes.SHA256())) + _pem(self._own)

    def _issue(
        self, title: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None
    ) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        subject = issuer.subject if issuer else name
        builder = self._builder(name, key.public_key(), subject, -DAY, 3650 * DAY)
        issuing = self._root_key.public_key()
        for extension, critical in (
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (_usage(key_cert_sign=True), True),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing), False),
        ):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._root_key, hashes.SHA256())

    @staticmethod
    def _builder(
        name: x509.Name,
        key: ec.EllipticCurvePublicKey,
        issuer: x509.Name,
        begin: timedelta,
        end: timedelta,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begin)
            .not_valid_after(now + end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
        )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True)
class Verdict:
    """ "Trusted", "Valid" (but signed by somebody unknown) or "Invalid", and what was found."""

    state: str
    document: dict[str, Any]

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["manifests"][self.document["active_manifest"]]
        return found

    @property
    def actions(self) -> list[dict[str, Any]]:
        return actions_of(self.manifest)

    @property
    def failures(self) -> list[str]:
        found = self.document["validation_results"]["activeManifest"]["failure"]
        return [failure["code"] for failure in found]


def actions_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    (assertion,) = [each for each in manifest["assertions"] if "actions" in each["label"]]
    found: list[dict[str, Any]] = assertion["data"]["actions"]
    return found


def verify(picture: bytes, media_type: str, anchor: str) -> Verdict:
    """As C2PA's own reader finds it. Raises C2paError where there is no manifest."""
    trust = Context.from_dict({"trust": {"trust_anchors": anchor, "trust_config": _PURPOSES}})
    with Reader(media_type, io.BytesIO(picture), context=trust) as reader:
        state = reader.get_validation_state()
        assert state is not None
        return Verdict(state, json.loads(reader.json()))


_PURPOSES = f"{EMAIL}\n{C2PA_CLAIMS}\n1.3.6.1.5.5.7.3.36"
