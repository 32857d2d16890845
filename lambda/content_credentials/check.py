"""A picture signed in the deploy, so that what can't sign fails there and not with each request."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from c2pa import C2paError

from cfn_requests.answering import Outcome
from content_credentials.signer import PictureSigner
from sd_contract.signing import SigningRequest

# PNG, one pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


class CannotSign(Exception):
    """The key and the certificate chain don't sign."""


@dataclass(frozen=True)
class Check:
    signer: PictureSigner

    def carry_out(self, event: Mapping[str, Any]) -> Outcome:
        """Raises CannotSign, and boto3's errors."""
        if event["RequestType"] == "Delete":
            return Outcome(str(event["PhysicalResourceId"]))
        try:
            self.signer.sign(SigningRequest((PICTURE,), "image/png", "none"))
        except C2paError as error:
            raise CannotSign(
                f"{self.signer.key} signs no picture with the first certificate of "
                f"sd.api.c2pa.certificate_chain: {error}"
            ) from error
        return Outcome("content-credentials-check")
