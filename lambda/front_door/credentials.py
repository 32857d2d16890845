"""Pictures signed before they are given out, by the function for it (C2PA; a setting)."""

import functools
from dataclasses import dataclass, replace

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from front_door.ahead import Ahead
from front_door.clients import make_client
from front_door.config import Config
from front_door.errors import SigningError
from front_door.generation import GenerationRequest
from front_door.picture_bucket import PictureBucket
from sd_contract.invocation import MEDIA_TYPES, Answer
from sd_contract.signing import Passage, Signer, SigningFailed, SigningRequest


@dataclass(frozen=True)
class ContentCredentials:
    signer: Signer

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
            return replace(answer, images=self.signer.sign(wanted, request_id))
        except (BotoCoreError, ClientError, SigningFailed) as error:
            raise SigningError(f"{type(error).__name__}: {error}") from error


def content_credentials(
    config: Config, session: Session, pictures: PictureBucket
) -> ContentCredentials | None:
    """None where pictures aren't to be signed."""
    if not config.signing_function:
        return None
    functions = Ahead(functools.partial(make_client, session, "lambda"))
    passage = Passage(pictures.s3, pictures.name)
    return ContentCredentials(Signer(functions, config.signing_function, passage))
