"""Bytes of requests to bytes of answers, for whichever server carries them."""

from __future__ import annotations

import base64
import json
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sd_serving.config import ServingConfig, size_text
from sd_serving.contract import BatchKey, GenerationRequest, parse_request
from sd_serving.engine import Engine, GenerationResult
from sd_serving.errors import EngineError, InvalidRequest
from sd_serving.logs import Log

MAX_BODY_BYTES = 6_291_456
"""SageMaker's limit for a request and for an answer (botocore's `BodyBlob`)."""

JSON = "application/json"
PNG = "image/png"


@dataclass(frozen=True)
class Call:
    body: bytes
    accept: str = ""
    """Of the HTTP header; a picture by itself where it starts with image/png, JSON otherwise."""
    request_id: str = ""


@dataclass(frozen=True)
class Reply:
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Handler:
    def __init__(
        self,
        engine: Engine,
        config: ServingConfig,
        log: Log,
        max_answer_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._engine = engine
        self._config = config
        self._log = log
        self._max_answer_bytes = max_answer_bytes

    def respond(self, call: Call) -> Reply:
        return self.respond_batch([call])[0]

    def respond_batch(self, calls: Sequence[Call]) -> list[Reply]:
        """One reply a call, in order. Calls that share size, steps and guidance are denoised
        together; a bad one, or a batch that fails, spoils no other."""
        started = time.perf_counter()
        replies: dict[int, Reply] = {}
        requests: dict[int, GenerationRequest] = {}
        for number, call in enumerate(calls):
            try:
                requests[number] = self._parse(call)
            except InvalidRequest as error:
                replies[number] = self._refuse(call, error, started)
        batches: dict[BatchKey, list[int]] = {}
        for number, request in requests.items():
            batches.setdefault(request.batch_key, []).append(number)
        for numbers in batches.values():
            batch = [requests[number] for number in numbers]
            try:
                results = self._engine.generate(batch)
            except Exception as error:  # noqa: BLE001 - one bad batch must not end the others
                failure = _as_engine_error(error)
                for number in numbers:
                    replies[number] = self._refuse(calls[number], failure, started)
                continue
            for number, request, result in zip(numbers, batch, results, strict=True):
                replies[number] = self._answer(calls[number], request, result, started)
        return [replies[number] for number in range(len(calls))]

    def _parse(self, call: Call) -> GenerationRequest:
        request = parse_request(call.body, self._config)
        if _wants_png(call) and request.num_images != 1:
            raise InvalidRequest(
                f"num_images must be 1 with Accept: {PNG}; use {JSON} for more", "num_images"
            )
        return request

    def _answer(
        self, call: Call, request: GenerationRequest, result: GenerationResult, started: float
    ) -> Reply:
        if _wants_png(call):
            # The one header that SageMaker passes on; a drawn seed would be lost otherwise.
            headers = {"X-Amzn-SageMaker-Custom-Attributes": f"seed={result.seeds[0]}"}
            reply = Reply(200, PNG, result.images[0], headers)
        else:
            document = {
                "images": [base64.b64encode(image).decode() for image in result.images],
                "seeds": result.seeds,
                "timings_ms": result.timings_ms,
                "engine": self._engine.describe(request, result),
            }
            reply = Reply(200, JSON, json.dumps(document).encode())
        if len(reply.body) > self._max_answer_bytes:
            return self._refuse(
                call,
                EngineError(
                    f"the answer has {len(reply.body)} bytes and SageMaker carries "
                    f"{self._max_answer_bytes}; ask for fewer images"
                ),
                started,
            )
        self._log(
            "invocation",
            request_id=call.request_id,
            status=reply.status,
            total_ms=_ms_since(started),
            timings_ms=result.timings_ms,
            size=size_text((request.height, request.width)),
            steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            num_images=request.num_images,
            images_in_batch=result.images_in_batch,
            prompt_tokens=result.prompt_tokens,
            seed=request.seed,
        )
        return reply

    def _refuse(self, call: Call, error: InvalidRequest | EngineError, started: float) -> Reply:
        fields: dict[str, object] = {"param": error.param}
        if isinstance(error, EngineError):
            # Only here: an InvalidRequest's message may quote the caller's text.
            fields["reason"] = str(error)
        if error.__cause__ is not None:
            fields["traceback"] = "".join(traceback.format_exception(error.__cause__))
        self._log(
            "invocation",
            request_id=call.request_id,
            status=error.status,
            total_ms=_ms_since(started),
            error=error.kind,
            **fields,
        )
        return error_reply(error)


def error_reply(error: InvalidRequest | EngineError) -> Reply:
    document = {"error": {"type": error.kind, "param": error.param, "message": str(error)}}
    return Reply(error.status, JSON, json.dumps(document).encode())


def _wants_png(call: Call) -> bool:
    first = call.accept.split(",")[0].split(";")[0]
    return first.strip().lower() == PNG


def _as_engine_error(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    failure = EngineError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
