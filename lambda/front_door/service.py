"""The API's operations, from a request to the body of its response."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from front_door import endpoint
from front_door.api_gateway import Request
from front_door.config import Config
from front_door.credentials import ContentCredentials
from front_door.edit_pictures import load_edit
from front_door.embedding import embedding_body, parse_embedding
from front_door.endpoint import SageMakerRuntime
from front_door.errors import (
    EndpointNotFound,
    EndpointStopped,
    EndpointThrottled,
    EndpointUnavailable,
    GalleryError,
    GalleryNotDeployed,
    InvalidRequest,
)
from front_door.gallery import Gallery, not_deployed
from front_door.generation import EDIT, GENERATION, RequestFields, complete, parse_fields
from front_door.generation import GenerationRequest as Generation
from front_door.picture_bucket import PictureBucket
from front_door.picture_time import PictureTimes
from front_door.request_body import parse_body, parse_body_or_form
from front_door.request_log import RequestLog
from front_door.response_body import generation_body, model_body, picture_bodies
from front_door.routing import operation_of
from front_door.time_limit import check_answers, check_time, estimate_s
from front_door.variants import VariantRegistry
from sd_contract.fields import Problem
from sd_contract.invocation import Answer
from sd_contract.registration import Registration
from sd_contract.seeds import draw_seed

# Before a second and a third try of what no container has worked on. Whoever can wait longer is
# told how long by Retry-After.
PAUSES_S = (0.3, 0.9)
EMBEDDING_S = 1.0
"""Texts take milliseconds each, after a picture's step where one is being drawn."""

T = TypeVar("T")


@dataclass(frozen=True)
class FrontDoor:
    """`runtime` gives a client that waits so many whole seconds for an answer; `now` is in seconds
    since the epoch; `draw_seed()` gives one to a request without."""

    config: Config
    registry: VariantRegistry
    picture_times: PictureTimes
    runtime: Callable[[int], SageMakerRuntime]
    pictures: PictureBucket
    credentials: ContentCredentials | None = None
    gallery: Gallery | None = None
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    draw_seed: Callable[[], int] = draw_seed

    def answer(self, request: Request, log: RequestLog) -> Mapping[str, Any]:
        """Raises FrontDoorError."""
        routes: dict[str, dict[str, Callable[[Request, RequestLog], Mapping[str, Any]]]] = {
            "/images/generations": {"POST": self._generate},
            "/images/edits": {"POST": self._edit},
            "/embeddings": {"POST": self._embed},
            "/models": {"GET": self._list_models},
            "/models/{id}": {"GET": self._get_model},
            "/openapi.json": {"GET": self._describe},
        }
        return operation_of(routes, request.path, request.method)(request, log)

    def _generate(self, request: Request, log: RequestLog) -> Mapping[str, Any]:
        body = parse_body(request.body, self.config.max_body_bytes)
        return self._draw(parse_fields(body, GENERATION), log)

    def _edit(self, request: Request, log: RequestLog) -> Mapping[str, Any]:
        body = parse_body_or_form(request.body, self.config.max_edit_bytes, EDIT.known, EDIT.openai)
        return self._draw(parse_fields(body, EDIT), log)

    def _draw(self, fields: RequestFields, log: RequestLog) -> Mapping[str, Any]:
        log.asked(fields, log_prompts=self.config.log_prompts)
        gallery = self._gallery_for(fields)
        variant = self.registry.resolve(fields.model)
        check_answers(variant)
        generation = self._with_edit(complete(fields, variant, self.draw_seed), fields)
        picture_time = self.picture_times.of(generation)
        estimated_s = estimate_s(generation, picture_time)
        namespace = self.config.metrics_namespace
        log.planned(generation, estimated_s, namespace=namespace, now_s=self.now())
        check_time(generation, picture_time, self.config.endpoint_timeout_s)

        in_bucket = generation.response_format == "url" or gallery is not None
        if in_bucket:
            self.pictures.s3.start()
        answer = self._ask(
            variant,
            fields.model,
            lambda runtime: endpoint.generate(runtime, generation, log.request_id),
            estimated_s,
            log,
        )
        self.picture_times.learn(generation, answer)
        log.drawn(generation, answer)
        with log.stage("storage"):
            if self.credentials:
                answer = self.credentials.signed(generation, answer, log.request_id)
            urls: list[str] | None = None
            ids: list[str] = []
            now_s = self.now()
            if in_bucket:
                urls = self.pictures.store(answer, request_id=log.request_id, now_s=now_s)
            if gallery:
                answer, ids = self._kept(gallery, generation, answer, now_s, log)
            if generation.response_format != "url":
                urls = None
        return generation_body(
            generation,
            answer,
            picture_bodies(answer, urls, ids),
            created=int(self.now()),
            timings_ms={**log.stages_ms, "total": log.total_ms()},
        )

    def _gallery_for(self, fields: RequestFields) -> Gallery | None:
        """What keeps the pictures. Raises InvalidRequest where they are to be kept and can't."""
        if fields.store and self.gallery is None:
            raise InvalidRequest(
                Problem("store", f"store: {not_deployed()}", "gallery_not_deployed")
            )
        wanted = self.config.store if fields.store is None else fields.store
        return self.gallery if wanted else None

    def _kept(
        self,
        gallery: Gallery,
        generation: Generation,
        answer: Answer,
        now_s: float,
        log: RequestLog,
    ) -> tuple[Answer, list[str]]:
        """The pictures' ids; without them where the gallery fails, with a warning: what is drawn is
        answered all the same."""
        keys = self.pictures.keys(answer, request_id=log.request_id, now_s=now_s)
        try:
            return answer, gallery.keep(generation, answer.seeds, keys, now_s)
        except (GalleryNotDeployed, GalleryError) as error:
            log.not_kept(error)
            why = str(error) if isinstance(error, GalleryNotDeployed) else "The gallery failed."
            warning = f"store: the pictures are not kept. {why}"
            return replace(answer, warnings=(*answer.warnings, warning)), []

    def _with_edit(self, generation: Generation, fields: RequestFields) -> Generation:
        edit = None
        if fields.image is not None:
            edit = load_edit(fields.image, fields.mask, fields.strength, self.pictures)
        invocation = replace(
            generation.invocation, embed_prompt=self.config.embed_prompt, edit=edit
        )
        return replace(generation, invocation=invocation)

    def _embed(self, request: Request, log: RequestLog) -> Mapping[str, Any]:
        # Larger than a generation's: 64 texts, each as long as a prompt may be.
        asked = parse_embedding(parse_body(request.body, self.config.max_edit_bytes))
        log.asked_texts(asked)
        variant = self.registry.resolve(asked.model)
        check_answers(variant)
        answer = self._ask(
            variant,
            asked.model,
            lambda runtime: endpoint.embed(runtime, variant, asked.texts, log.request_id),
            EMBEDDING_S,
            log,
        )
        log.embedded(variant.name, answer)
        return embedding_body(asked, variant, answer)

    def _ask(
        self,
        variant: Registration,
        named: str | None,
        call: Callable[[SageMakerRuntime], T],
        estimated_s: float,
        log: RequestLog,
    ) -> T:
        """What `call` gives of the variant's endpoint; `named` is what the request calls it."""
        with log.stage("endpoint"):
            try:
                return self._invoke(call, estimated_s, log)
            except EndpointNotFound:
                self.registry.refresh()
                # ModelNotFound: it went with its variant.
                stopped = self.registry.resolve(named).stopped
                if stopped:
                    why = f"{variant.endpoint_name}: {stopped.why}, since {stopped.since}"
                    raise EndpointStopped(why, stopped.start) from None
                raise

    def _invoke(
        self, call: Callable[[SageMakerRuntime], T], estimated_s: float, log: RequestLog
    ) -> T:
        """Tries again, with the same seed, where no container has worked on the request and it may
        pass in a moment, as long as there is time left to draw."""
        for pause_s in (*PAUSES_S, math.inf):
            runtime = self.runtime(max(1, math.ceil(self._left_s(log))))
            try:
                return call(runtime)
            except (EndpointThrottled, EndpointUnavailable) as error:
                if not error.passing or pause_s + estimated_s > self._left_s(log):
                    raise
                log.tries_again(error)
            self.sleep(pause_s)
        raise AssertionError("the last pause is longer than any time left")

    def _left_s(self, log: RequestLog) -> float:
        """For the endpoint."""
        return self.config.endpoint_timeout_s - log.total_ms() / 1000

    def _list_models(self, _request: Request, _log: RequestLog) -> Mapping[str, Any]:
        registered, default = self.registry.listing()
        return {"object": "list", "data": [model_body(entry, default) for entry in registered]}

    def _get_model(self, request: Request, _log: RequestLog) -> Mapping[str, Any]:
        return model_body(*self.registry.find(request.model))

    def _describe(self, request: Request, _log: RequestLog) -> Mapping[str, Any]:
        # Most instances of the Lambda never need it.
        from front_door.served_openapi import document

        registered, default = self.registry.listing()
        variants = [entry.variant for entry in registered]
        return document(
            variants,
            default,
            self.config.endpoint_timeout_s,
            api_url=request.base_url,
            pictures_url=self.pictures.url,
            gallery=self.gallery is not None,
        )
