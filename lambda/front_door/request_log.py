"""One JSON line a request: enough to find, measure and explain it, nothing of what it asked for."""

import hashlib
import json
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from front_door.errors import FrontDoorError, RequestError
from front_door.generation import GenerationFields, GenerationRequest
from sd_contract.fields import PUBLIC


class RequestLog:
    """Filled in along the way, so that a request that fails is logged as far as it got.

    `timer` is in seconds and only has to run evenly.
    """

    def __init__(self, request_id: str, timer: Callable[[], float]) -> None:
        self.request_id = request_id
        self.stages_ms: dict[str, float] = {}
        self._timer = timer
        self._start = timer()
        self._facts: dict[str, Any] = {}
        self._private: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what is inside, whether it ends well or not."""
        began = self._timer()
        try:
            yield
        finally:
            self.stages_ms[name] = self._ms_since(began)

    def total_ms(self) -> float:
        return self._ms_since(self._start)

    def called(self, event: Mapping[str, Any]) -> None:
        """Who called what, which API Gateway's own log would tell if it were on."""
        identity = (event.get("requestContext") or {}).get("identity") or {}
        self._facts |= {
            "api_key_id": identity.get("apiKeyId"),
            "method": event.get("httpMethod"),
            "path": event.get("resource"),  # the route's template, none of the caller's text
        }

    def asked(self, fields: GenerationFields) -> None:
        """Notes what must not be logged, even where an error's text holds it."""
        for text in (fields.prompt, fields.negative_prompt, fields.user):
            if text:
                spellings = (json.dumps(text), json.dumps(text, ensure_ascii=False), repr(text))
                self._private += [text, *(spelling[1:-1] for spelling in spellings)]
        if fields.user:
            self._facts["user"] = hashlib.sha256(fields.user.encode()).hexdigest()[:16]

    def planned(self, request: GenerationRequest, estimate_s: float) -> None:
        asked = request.invocation
        self._facts |= {
            "model": request.variant.name,
            "n": asked.num_images,
            "size": str(asked.size),
            "steps": asked.num_inference_steps,
            "guidance_scale": asked.guidance_scale,
            "seed": asked.seed,
            "response_format": request.response_format,
            # What a refusal as too slow went by; learnt, so nothing else tells it afterwards.
            "estimate_s": round(estimate_s, 1),
        }

    def failed(self, error: Exception) -> None:
        """A caller's mistake is a code and a field; ours comes with its text, an unforeseen one
        with its traceback."""
        self._facts["error"] = type(error).__name__
        if isinstance(error, RequestError):
            self._facts["code"] = error.code
            # An unknown field's name is the caller's text, and may be a misplaced prompt.
            if error.param in PUBLIC:
                self._facts["param"] = error.param
        elif isinstance(error, FrontDoorError):
            self._facts["detail"] = self._redacted(str(error))
        else:
            self._facts["detail"] = self._redacted("".join(traceback.format_exception(error)))

    def line(self, status: int) -> str:
        entry = {"event": "request", "request_id": self.request_id, "status": status, **self._facts}
        entry["stages_ms"] = {**self.stages_ms, "total": self.total_ms()}
        return json.dumps(entry)

    def _ms_since(self, began: float) -> float:
        return round((self._timer() - began) * 1000, 1)

    def _redacted(self, text: str) -> str:
        if self._private:
            longest_first = sorted(self._private, key=len, reverse=True)
            text = re.sub("|".join(map(re.escape, longest_first)), "[redacted]", text)
        # CloudWatch takes 256 KB a line; the end of a traceback says most.
        return text[-8000:]
