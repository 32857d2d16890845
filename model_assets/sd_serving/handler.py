"""Bytes of requests to bytes of answers, for whichever server carries them."""

from __future__ import annotations

import re
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sd_contract.embeddings import asked_texts, asks_embeddings
from sd_contract.fields import Problem
from sd_contract.invocation import JSON, MEDIA_TYPES, Answer, Invocation, Refused
from sd_contract.limits import INVOCATION_BYTES
from sd_serving.config import ServingConfig
from sd_serving.edits import Task, prepare
from sd_serving.embeddings import embed
from sd_serving.engine import BatchKey, Engine, batch_key
from sd_serving.errors import EngineError, NotFinite, OutOfMemory
from sd_serving.logs import Log
from sd_serving.stage_clock import ms_since

_PLAIN_ID = re.compile(r"[\w.:=/+-]{1,128}", re.ASCII)


@dataclass(frozen=True)
class Call:
    body: bytes
    accept: str = ""
    """Of the HTTP header; a picture by itself where it starts with an output format's media type,
    JSON otherwise."""
    request_id: str = ""


@dataclass(frozen=True)
class Drawing:
    """A call that was read."""

    call: Call
    task: Task

    @property
    def kind(self) -> BatchKey:
        """What calls must share to be drawn together."""
        return batch_key(self.task.request)


@dataclass(frozen=True)
class Reply:
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def call_id(*sent: str) -> str:
    """The first of the caller's ids that is plain, so that it can go into a log; else a new one."""
    return next(filter(_PLAIN_ID.fullmatch, sent), uuid.uuid4().hex)


class Handler:
    def __init__(
        self,
        engine: Engine,
        config: ServingConfig,
        log: Log,
        max_answer_bytes: int = INVOCATION_BYTES,
    ) -> None:
        self._engine = engine
        self._config = config
        self._log = log
        self._max_answer_bytes = max_answer_bytes

    def respond(self, call: Call) -> Reply:
        return self.respond_batch([call])[0]

    def respond_batch(self, calls: Sequence[Call]) -> list[Reply]:
        """One reply a call, in order. Calls for texts are answered first; of the rest, those of one
        kind are drawn together; a bad one, or a batch that fails, spoils no other."""
        replies: dict[int, Reply] = {}
        batches: dict[BatchKey, dict[int, Drawing]] = {}
        for number, call in enumerate(calls):
            started = time.perf_counter()
            if asks_embeddings(call.body):
                replies[number] = self._embed(call, started)
                continue
            try:
                drawing = self.read(call)
            except (Refused, EngineError) as error:
                replies[number] = self.refuse(call, error, started)
            else:
                batches.setdefault(drawing.kind, {})[number] = drawing
        for batch in batches.values():
            replies.update(zip(batch, self.draw([*batch.values()]), strict=True))
        return [replies[number] for number in range(len(calls))]

    def read(self, call: Call) -> Drawing:
        """Asks no network, so that it may be done while a picture is drawn. Raises Refused or
        EngineError."""
        try:
            return Drawing(call, prepare(self._parse(call)))
        except (Refused, EngineError):
            raise
        except Exception as error:  # memory for a picture, say
            raise _as_engine_error(error) from error

    def draw(self, drawings: Sequence[Drawing]) -> list[Reply]:
        """One reply a drawing, in order. They must be of one kind. Drawn one by one where together
        they don't fit into memory, or one of them isn't finite."""
        started = time.perf_counter()
        try:
            answers = self._engine.draw([drawing.task for drawing in drawings])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            failure = _as_engine_error(error)
        else:
            pairs = zip(drawings, answers, strict=True)
            return [self._answer(drawing, answer, started) for drawing, answer in pairs]
        if isinstance(failure, OutOfMemory | NotFinite) and len(drawings) > 1:
            return [self.draw([drawing])[0] for drawing in drawings]
        return [self.refuse(drawing.call, failure, started) for drawing in drawings]

    def _embed(self, call: Call, started: float) -> Reply:
        try:
            texts = asked_texts(call.body)
            answer = embed(self._engine.parts, texts)
        except Refused as error:
            return self.refuse(call, error, started)
        except Exception as error:  # noqa: BLE001 - one call's must not end the others
            return self.refuse(call, _as_engine_error(error), started)
        self._log(
            "embeddings",
            request_id=call.request_id,
            status=200,
            total_ms=ms_since(started),
            texts=len(texts),
            prompt_tokens=answer.prompt_tokens,
            # Not the sentences, which quote the texts.
            warnings=len(answer.warnings),
        )
        return Reply(200, JSON, answer.to_json())

    def _parse(self, call: Call) -> Invocation:
        request = Invocation.from_json(call.body, self._config)
        wanted = _picture_type(call)
        if wanted and request.num_images != 1:
            message = f"num_images: must be 1 with Accept: {wanted}; use {JSON} for more"
            raise Refused(Problem("num_images", message, "out_of_range"))
        if wanted and wanted != MEDIA_TYPES[request.output_format]:
            message = f"output_format: {request.output_format} doesn't go with Accept: {wanted}"
            raise Refused(Problem("output_format", message, "out_of_range"))
        return request

    def _answer(self, drawing: Drawing, answer: Answer, started: float) -> Reply:
        call, request = drawing.call, drawing.task.request
        if wanted := _picture_type(call):
            # The one header that SageMaker passes on; a drawn seed would be lost otherwise.
            headers = {"X-Amzn-SageMaker-Custom-Attributes": f"seed={answer.seeds[0]}"}
            reply = Reply(200, wanted, answer.images[0], headers)
        else:
            reply = Reply(200, JSON, answer.to_json())
        if len(reply.body) > self._max_answer_bytes:
            return self.refuse(
                call,
                # The caller's to mend: the same request makes as many bytes again.
                Refused(
                    Problem(
                        "num_images",
                        f"the answer has {len(reply.body)} bytes and SageMaker carries "
                        f"{self._max_answer_bytes}; ask for fewer images, or for jpeg or webp",
                        "response_too_large",
                    )
                ),
                started,
            )
        self._log(
            "invocation",
            request_id=call.request_id,
            status=reply.status,
            total_ms=ms_since(started),
            timings_ms=answer.timings_ms,
            size=str(request.size),
            quality=request.quality,
            steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            num_images=request.num_images,
            images_in_batch=answer.images_in_batch,
            prompt_tokens=answer.engine["prompt_tokens"],
            strength=request.strength,
            masked=request.edit is not None and request.edit.mask is not None,
            output_format=request.output_format,
            # Not the sentences, which quote the prompt.
            warnings=len(answer.warnings),
            seed=request.seed,
        )
        return reply

    def refuse(self, call: Call, error: Refused | EngineError, started: float) -> Reply:
        """`started` by time.perf_counter."""
        fields: dict[str, object] = {"param": error.field}
        if isinstance(error, EngineError):
            # Only here: another's message may quote the caller's text.
            fields["reason"] = str(error)
        if error.__cause__ is not None:
            fields["traceback"] = "".join(traceback.format_exception(error.__cause__))
        self._log(
            "invocation",
            request_id=call.request_id,
            status=error.status,
            total_ms=ms_since(started),
            error=error.kind,
            **fields,
        )
        return error_reply(error)


def error_reply(error: Refused | EngineError) -> Reply:
    return Reply(error.status, JSON, error.to_json())


def _picture_type(call: Call) -> str | None:
    """The media type of the picture by itself that the caller wants; None: JSON."""
    first = call.accept.split(",")[0].split(";")[0].strip().lower()
    return first if first in MEDIA_TYPES.values() else None


def _as_engine_error(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    failure = EngineError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
