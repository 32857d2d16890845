"""A request for the certificate of the KMS key that signs pictures, PEM on standard output.

    .venv/bin/python -m stacks.certificate_request KEY_ARN --organization "A Gallery" > signing.csr

needs requirements-dev.txt, and leave to call kms:GetPublicKey and kms:Sign with the key.
"""

import argparse
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import NameOID

# C2PA's claims; and mail, which verifiers of before that had its number ask for
# (c2pa-rs, sdk/src/crypto/cose/valid_eku_oids.cfg).
PURPOSES = ("1.3.6.1.4.1.62558.2.1", "1.3.6.1.5.5.7.3.4")


class NotThatKind(ValueError):
    """The key isn't one that signs pictures."""


@dataclass(frozen=True)
class KmsKey(ec.EllipticCurvePrivateKey):
    """One that never leaves KMS: all it does is sign. Wraps boto3's client."""

    kms: Any
    arn: str

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Raises NotThatKind."""
        key = load_der_public_key(self.kms.get_public_key(KeyId=self.arn)["PublicKey"])
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != self.curve.name:
            raise NotThatKind(f"{self.arn} is no ECC_NIST_P256 key")
        return key

    @property
    def curve(self) -> ec.EllipticCurve:
        return ec.SECP256R1()

    @property
    def key_size(self) -> int:
        return self.curve.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        assert isinstance(signature_algorithm.algorithm, hashes.SHA256)
        answer = self.kms.sign(
            KeyId=self.arn,
            Message=sha256(data).digest(),
            MessageType="DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        signature: bytes = answer["Signature"]
        return signature

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        raise NotImplementedError

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise NotImplementedError

    def private_bytes(self, *_: object) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> "KmsKey":
        return self

    def __deepcopy__(self, _: object) -> "KmsKey":
        return self


def certificate_request(key: KmsKey, organization: str) -> str:
    """PEM. Raises NotThatKind, and boto3's errors."""
    key.public_key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, organization),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    purposes = x509.ExtendedKeyUsage([x509.ObjectIdentifier(each) for each in PURPOSES])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(purposes, critical=False)
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(Encoding.PEM).decode()


def main() -> None:
    import boto3

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("key", help="its ARN")
    parser.add_argument("--organization", required=True, help="who signs, as verifiers show it")
    given = parser.parse_args()
    kms = boto3.client("kms", region_name=given.key.split(":")[3])
    print(certificate_request(KmsKey(kms, given.key), given.organization), end="")


if __name__ == "__main__":
    main()
