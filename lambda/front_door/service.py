"""The API's two operations, from a request to the body of its response."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from front_door import endpoint, pictures
from front_door.api_gateway import Request
from front_door.config import Config
from front_door.endpoint import SageMakerRuntime
from front_door.errors import EndpointNotFound, RouteNotFound
from front_door.generation import ResponseFormat, complete, parse_fields
from front_door.picture_time import PictureTimes
from front_door.pictures import ObjectStore
from front_door.request_body import parse_body
from front_door.request_log import RequestLog
from front_door.time_limit import check_time, estimate_s
from front_door.variants import Registered, VariantRegistry
from sd_contract.fields import Problem
from sd_contract.invocation import Answer
from sd_contract.seeds import draw_seed


@dataclass(frozen=True)
class FrontDoor:
    """`now` is in seconds since the epoch; `draw_seed()` gives one to a request without."""

    config: Config
    registry: VariantRegistry
    picture_times: PictureTimes
    runtime: SageMakerRuntime
    s3: ObjectStore
    now: Callable[[], float] = time.time
    draw_seed: Callable[[], int] = draw_seed

    def answer(self, request: Request, log: RequestLog) -> dict[str, Any]:
        """Raises FrontDoorError."""
        if request.route == "POST /images/generations":
            return self._generate(request, log)
        if request.route == "GET /models":
            return self._list_models()
        raise RouteNotFound(Problem(None, "The API has no such method and path.", "not_found"))

    def _generate(self, request: Request, log: RequestLog) -> dict[str, Any]:
        fields = parse_fields(parse_body(request.body, self.config.max_body_bytes))
        log.asked(fields)
        variant = self.registry.resolve(fields.model)
        generation = complete(fields, variant, self.draw_seed)
        picture_time = self.picture_times.of(generation)
        log.planned(generation, estimate_s(generation, picture_time))
        check_time(generation, picture_time, self.config.endpoint_timeout_s)

        with log.stage("endpoint"):
            try:
                answer = endpoint.generate(self.runtime, generation, log.request_id)
            except EndpointNotFound:
                self.registry.refresh()
                self.registry.resolve(fields.model)  # ModelNotFound: it went with its variant
                raise
        self.picture_times.learn(generation, answer)
        log.stages_ms |= answer.timings_ms
        with log.stage("storage"):
            data = self._data(log.request_id, generation.response_format, answer)
        return {
            "created": int(self.now()),
            "model": variant.name,
            "data": data,
            "timings_ms": {**log.stages_ms, "total": log.total_ms()},
        }

    def _data(
        self, request_id: str, response_format: ResponseFormat, answer: Answer
    ) -> list[dict[str, Any]]:
        if response_format == "b64_json":
            values = [base64.b64encode(picture).decode() for picture in answer.images]
        else:
            values = pictures.store(
                self.s3,
                self.config.picture_bucket,
                answer,
                request_id=request_id,
                now_s=self.now(),
                url_ttl_s=self.config.url_ttl_s,
            )
        return [
            {response_format: value, "seed": seed}
            for value, seed in zip(values, answer.seeds, strict=True)
        ]

    def _list_models(self) -> dict[str, Any]:
        registered, default = self.registry.listing()
        return {"object": "list", "data": [_model(entry, default) for entry in registered]}


def _model(entry: Registered, default: str | None) -> dict[str, Any]:
    """OpenAI's shape, then what the variant registered; `default` is the one in force."""
    variant = entry.variant
    registered = variant.document()
    del registered["name"]
    return {
        "id": variant.name,
        "object": "model",
        "created": entry.created,
        "owned_by": variant.model_id.split("/")[0],
        **registered,
        "default": variant.name == default,
    }
