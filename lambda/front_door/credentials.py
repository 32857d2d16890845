"""Pictures signed before they are given out, by the function for it (C2PA; a setting)."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from front_door.ahead import Ahead
from front_door.config import Config
from front_door.errors import SigningError
from front_door.generation import GenerationRequest
from front_door.picture_bucket import PictureBucket
from sd_contract.invocation import MEDIA_TYPES, Answer
from sd_contract.signing import FOLDER, Passage, SigningRequest, read_pictures


@dataclass(frozen=True)
class ContentCredentials:
    """`functions()` is botocore's client of Lambda, `function` a name there."""

    functions: Callable[[], Any]
    function: str
    passage: Passage

    def signed(self, request: GenerationRequest, answer: Answer, request_id: str) -> Answer:
        """Raises SigningError: a picture that isn't signed goes no further."""
        edit = request.invocation.edit
        wanted = SigningRequest(
            pictures=answer.images,
            media_type=MEDIA_TYPES[answer.output_format],
            model=request.variant.model_id,
            parent=None if edit is None else edit.image,
        )
        try:
            event = self.passage.pack(wanted.document(), f"{FOLDER}{request_id}.json")
            images = read_pictures(self.passage.unpack(self._invoke(event)))
        except (BotoCoreError, ClientError, KeyError, TypeError, ValueError) as error:
            raise SigningError(f"{self.function}: {type(error).__name__}: {error}") from error
        if len(images) != len(answer.images):
            raise SigningError(f"{self.function}: {len(images)} of {len(answer.images)} pictures")
        return replace(answer, images=images)

    def _invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        response = self.functions().invoke(
            FunctionName=self.function, Payload=json.dumps(event).encode()
        )
        text = response["Payload"].read()
        if "FunctionError" in response:
            raise SigningError(f"{self.function}: {text.decode()}")
        message: dict[str, Any] = json.loads(text)
        return message


def content_credentials(
    config: Config, session: Session, pictures: PictureBucket
) -> ContentCredentials | None:
    """None where pictures aren't to be signed."""
    if not config.signing_function:
        return None
    quick = ClientConfig(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 2})
    return ContentCredentials(
        Ahead(functools.partial(session.create_client, "lambda", config=quick)),
        config.signing_function,
        Passage(pictures.s3, pictures.name),
    )
