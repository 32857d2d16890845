"""`sd.api.c2pa`: who signs for the pictures."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stacks.settings.models import ROOT
from stacks.settings.problems import Problem
from stacks.settings.rules import optional, setting, text

SIGNING_KEY = text(
    r"arn:aws[\w-]*:kms:[\w-]+:\d{12}:key/[\w-]+",
    "the ARN of a KMS key (not of an alias), ECC_NIST_P256 and SIGN_VERIFY",
)
CHAIN = "a PEM file of certificates, that of the signing key first"
TIMESTAMPS = text(r"https?://\S+", "the URL of a time-stamping authority (RFC 3161)")


@dataclass(frozen=True, kw_only=True)
class C2paSettings:
    """With `signing_key` and `certificate_chain` every picture carries a C2PA manifest; with
    neither, none. The chain is a file's path, relative to the repository's root: it is no secret,
    each picture has it. `timestamp_url` is asked when each is signed; without one, signatures end
    with the certificate.
    """

    signing_key: str | None = setting(optional(SIGNING_KEY))
    certificate_chain: str | None = setting(optional(text(r".+", CHAIN)))
    timestamp_url: str | None = setting(optional(TIMESTAMPS))

    @property
    def on(self) -> bool:
        return self.signing_key is not None

    @property
    def chain_path(self) -> Path:
        return ROOT / (self.certificate_chain or "")

    def problems(self) -> Iterator[Problem]:
        if self.certificate_chain and not self.on:
            allowed = f"{SIGNING_KEY.allowed}, beside sd.api.c2pa.certificate_chain"
            yield Problem("sd.api.c2pa.signing_key", self.signing_key, allowed)
        if self.timestamp_url and not self.on:
            allowed = "empty without sd.api.c2pa.signing_key"
            yield Problem("sd.api.c2pa.timestamp_url", self.timestamp_url, allowed)
        if self.on and (wrong := self._wrong_with_chain()):
            allowed = f"{CHAIN}; {wrong}"
            yield Problem("sd.api.c2pa.certificate_chain", self.certificate_chain, allowed)

    def _wrong_with_chain(self) -> str:
        """Whether the certificates are good for it, the deploy tries."""
        try:
            found = set(re.findall("-----BEGIN (.+)-----", self.chain_path.read_text("ascii")))
        except OSError as error:
            return f"it can't be read: {error.strerror}"
        except UnicodeDecodeError:
            return "it is no text"
        # Whatever stands there goes into the function's code.
        return "" if found == {"CERTIFICATE"} else f"it holds {', '.join(sorted(found)) or 'none'}"
