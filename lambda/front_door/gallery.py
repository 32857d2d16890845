"""The gallery, by the names of its queue and its function: its stack comes after the API's, and may
not be there. Nothing in here waits for what it does with a picture."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from front_door.errors import GalleryError, GalleryNotDeployed
from front_door.generation import GenerationRequest
from sd_contract.fields import Problem
from sd_contract.gallery import Drawn, Picture, index_name, new_id

PATHS = ("/similar", "/pictures", "/pictures/{id}")
DEPLOY = (
    "deploy the gallery's stack, SdGalleryStack under the default prefix (with sd.gallery.enabled)"
)
# The names are one copy's of the app, so whoever misses them misses the stack.
_NO_QUEUE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
_NO_FUNCTION = "ResourceNotFoundException"


class Queues(Protocol):
    """The part of boto3's SQS client that is used."""

    def send_message(self, **kwargs: Any) -> Any: ...


class Functions(Protocol):
    """The part of boto3's Lambda client that is used. Its read timeout has to end before the
    gateway's, and it must not retry."""

    def invoke(self, **kwargs: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Gallery:
    """`sqs` and `functions` give clients."""

    queue_url: str
    function: str
    sqs: Callable[[], Queues]
    functions: Callable[[], Functions]

    def keep(
        self, request: GenerationRequest, seeds: tuple[int, ...], keys: list[str], now_s: float
    ) -> list[str]:
        """Says which pictures to keep, by their keys in the bucket; gives their ids. Raises
        GalleryNotDeployed, GalleryError."""
        asked, variant = request.invocation, request.variant
        pictures = tuple(
            Picture(new_id(now_s), seed, key) for seed, key in zip(seeds, keys, strict=True)
        )
        drawn = Drawn(
            model=variant.name,
            index=index_name(variant.model_id, variant.revision),
            created_at=int(now_s),
            prompt=asked.prompt,
            negative_prompt=asked.negative_prompt,
            size=str(asked.size),
            num_inference_steps=asked.num_inference_steps,
            guidance_scale=asked.guidance_scale,
            strength=asked.strength,
            quality=asked.quality,
            pictures=pictures,
        )
        try:
            self.sqs().send_message(QueueUrl=self.queue_url, MessageBody=drawn.to_json())
        except ClientError as error:
            if error.response["Error"]["Code"].startswith(_NO_QUEUE):
                raise not_deployed() from None
            raise GalleryError(f"{self.queue_url}: {error}") from error
        except BotoCoreError as error:
            raise GalleryError(f"{self.queue_url}: {error}") from error
        return [picture.id for picture in pictures]

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The function's response to that event of the gateway's. Raises GalleryNotDeployed,
        GalleryError."""
        try:
            called = self.functions().invoke(
                FunctionName=self.function, Payload=json.dumps(event).encode()
            )
            payload = called["Payload"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == _NO_FUNCTION:
                raise not_deployed() from None
            raise GalleryError(f"{self.function}: {error}") from error
        except BotoCoreError as error:
            raise GalleryError(f"{self.function}: {error}") from error
        if "FunctionError" in called:
            # Its text may quote a prompt; its own log doesn't.
            raise GalleryError(f"{self.function}: {called['FunctionError']}, see its log")
        response: dict[str, Any] = json.loads(payload)
        return response


def not_deployed() -> GalleryNotDeployed:
    message = f"This API has no gallery: {DEPLOY}."
    return GalleryNotDeployed(Problem(None, message, "gallery_not_deployed"))
