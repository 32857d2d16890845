"""Manifests onto pictures, by c2pa-python.

What it asks to be signed goes to KMS. Of an ECDSA signature it takes KMS's form, DER, as well as
COSE's own (c2pa-rs, sdk/src/crypto/cose/sign.rs), and it checks what it has signed before it gives
it out.
"""

import io
import logging
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from c2pa import Builder, C2paError, C2paSigningAlg, Context, Signer

from content_credentials.manifest import ingredient, manifest
from sd_contract.signing import SigningRequest

log = logging.getLogger(__name__)

# What a certificate may be for: C2PA's claims, documents, mail. Unless it's told, c2pa-python
# refuses the first two (sdk/src/crypto/cose/valid_eku_oids.cfg has them all the same).
_PURPOSES = ("1.3.6.1.4.1.62558.2.1", "1.3.6.1.5.5.7.3.36", "1.3.6.1.5.5.7.3.4")
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "trust": {"trust_config": "\n".join(_PURPOSES)},
    # A caller's picture may name any address as that of its manifest.
    "verify": {"remote_manifest_fetch": False},
}
_MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class PictureSigner:
    """Wraps boto3's KMS client. `key` is the ARN of an ECC_NIST_P256 key; `chain` its certificate
    and those above it but the root, PEM; `timestamp_url` an RFC 3161 authority's, or ""."""

    kms: Any
    key: str
    chain: str
    timestamp_url: str

    def sign(self, request: SigningRequest) -> tuple[bytes, ...]:
        """The pictures, each with a manifest. Raises C2paError, and boto3's errors."""
        return tuple(self._sign(picture, request) for picture in request.pictures)

    def _sign(self, picture: bytes, request: SigningRequest) -> bytes:
        parent = request.parent
        if parent is not None and (media_type := _media_type(parent)):
            try:
                return self._signed(picture, request, (media_type, parent))
            except C2paError as error:
                # It can be drawn from and still not be read here, or bring a broken manifest.
                log.warning("the edited picture's own manifest is left out: %s", error)
        return self._signed(picture, request, None)

    def _signed(
        self, picture: bytes, request: SigningRequest, parent: tuple[str, bytes] | None
    ) -> bytes:
        """With `parent`, its media type and content, what its own manifest tells is kept."""
        definition = manifest(request.model, edited=request.parent is not None)
        if request.parent is not None and parent is None:
            definition["ingredients"] = [ingredient()]
        refusals: list[Exception] = []

        def ask_kms(message: bytes) -> bytes:
            try:
                return self._signature(message)
            except Exception as error:
                refusals.append(error)  # c2pa-python tells no more than that there was one
                raise

        signer = Signer.from_callback(
            ask_kms, C2paSigningAlg.ES256, self.chain, self.timestamp_url or None
        )
        signed = io.BytesIO()
        with signer, Builder(definition, Context.from_dict(_SETTINGS)) as builder:
            if parent:
                builder.add_ingredient(ingredient(), parent[0], io.BytesIO(parent[1]))
            try:
                builder.sign(signer, request.media_type, io.BytesIO(picture), signed)
            except C2paError:
                if refusals:
                    raise refusals[0] from None
                raise
        return signed.getvalue()

    def _signature(self, message: bytes) -> bytes:
        # Of a message itself KMS takes no more than 4096 bytes, fewer than with a long chain.
        answer = self.kms.sign(
            KeyId=self.key,
            Message=sha256(message).digest(),
            MessageType="DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        signature: bytes = answer["Signature"]
        return signature


def _media_type(content: bytes) -> str | None:
    return next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)
