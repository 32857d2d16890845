"""Entry point: pictures to be signed, and CloudFormation's requests to try it."""

import logging
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.session import get_session

from cfn_requests.answering import answer_request, patiently
from cfn_requests.sending import put_json
from content_credentials.check import Check
from content_credentials.signer import PictureSigner
from sd_contract.signing import DOCUMENT, Passage, SigningRequest, pictures_document

logging.getLogger().setLevel(logging.INFO)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any] | None:
    """Whatever it raises is an error of the invocation: nothing that isn't signed goes out."""
    if "ResponseURL" in event:
        answer_request(
            event,
            lambda: patiently(lambda: Check(_signer()).carry_out(event), time.sleep),
            put_json,
        )
        return None
    return answer(event, Passage(_s3, os.environ["SD_PICTURE_BUCKET"]), _signer())


def answer(event: dict[str, Any], passage: Passage, signer: PictureSigner) -> dict[str, Any]:
    request = SigningRequest.read(passage.unpack(event))
    signed = pictures_document(signer.sign(request))
    return passage.pack(signed, event["key"], inline=DOCUMENT in event)


@cache
def _signer() -> PictureSigner:
    key = os.environ["SD_SIGNING_KEY"]
    # Not boto3, which adds a third of the import for what isn't used here.
    kms = get_session().create_client("kms", region_name=key.split(":")[3], config=_quick())
    chain = Path(__file__).with_name("chain.pem").read_text()
    return PictureSigner(kms, key, chain, os.environ.get("SD_TIMESTAMP_URL", ""))


@cache
def _s3() -> Any:
    return get_session().create_client("s3", config=_quick())


def _quick() -> Config:
    return Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2})
