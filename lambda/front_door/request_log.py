"""One JSON line a request: enough to find, measure and explain it, nothing of what it asked for."""

import hashlib
import json
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from front_door.embedding import EMBEDDING, EmbeddingRequest
from front_door.errors import FrontDoorError, RequestError
from front_door.generation import EDIT, GenerationRequest, RequestFields
from front_door.metrics import embedded, usd_per_picture
from sd_contract.embeddings import Embeddings
from sd_contract.invocation import Answer

# What a signed URL may be used by (S3's guide, Signature Version 4: query parameters).
_SIGNED = re.compile(r"(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s'\"]+")
_SECRET_HEADERS = ("authorization", "x-api-key")


_PUBLIC = {*EDIT.known, *EMBEDDING.known, *(field.name for field in EDIT.openai)}


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
        self._figures: dict[str, float] = {}
        self._metrics: tuple[str, float] | None = None
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

    @property
    def invoked(self) -> bool:
        """Whether the endpoint was called, however that went."""
        return "endpoint" in self.stages_ms

    def called(self, event: Mapping[str, Any]) -> None:
        """Who called what, which API Gateway's own log would tell if it were on."""
        for name, value in (event.get("headers") or {}).items():
            if name.lower() in _SECRET_HEADERS:
                self._private += [value, value.split(" ")[-1]]
        identity = (event.get("requestContext") or {}).get("identity") or {}
        self._facts |= {
            "api_key_id": identity.get("apiKeyId"),
            "method": event.get("httpMethod"),
            "path": event.get("resource"),  # the route's template, none of the caller's text
        }

    def asked(self, fields: RequestFields, *, log_prompts: bool) -> None:
        """Notes what must not be logged, even where an error's text holds it."""
        prompts = {"prompt": fields.prompt, "negative_prompt": fields.negative_prompt}
        if log_prompts:
            self._facts |= prompts
        else:
            self.hide(*prompts.values())
        self.hide(fields.user, fields.safety_identifier)
        self._asked_by(fields.end_user)

    def asked_texts(self, asked: EmbeddingRequest) -> None:
        """As `asked`, whatever the setting says of prompts."""
        self.hide(*asked.texts, asked.user)
        self._asked_by(asked.user)
        self._facts["texts"] = len(asked.texts)

    def embedded(self, model: str, answer: Embeddings) -> None:
        self._facts |= {
            "model": model,
            "prompt_tokens": answer.prompt_tokens,
            "warnings": len(answer.warnings),
        }

    def planned(
        self, request: GenerationRequest, estimate_s: float, *, namespace: str, now_s: float
    ) -> None:
        """From now on it counts in the model's metrics, which are of `namespace`."""
        asked = request.invocation
        self._metrics = (namespace, now_s)
        self._facts |= {
            "model": request.variant.name,
            "n": asked.num_images,
            "size": str(asked.size),
            "quality": asked.quality,
            "steps": asked.num_inference_steps,
            "guidance_scale": asked.guidance_scale,
            "seed": asked.seed,
            "strength": asked.strength,
            "masked": asked.edit is not None and asked.edit.mask is not None,
            "response_format": request.response_format,
            "output_format": asked.output_format,
            # What a refusal as too slow went by; learnt, so nothing else tells it afterwards.
            "estimate_s": round(estimate_s, 1),
        }

    def tries_again(self, error: Exception) -> None:
        self._facts["tried_again_after"] = [
            *self._facts.get("tried_again_after", ()),
            type(error).__name__,
        ]

    def drawn(self, request: GenerationRequest, answer: Answer) -> None:
        self.stages_ms |= answer.timings_ms
        cost = usd_per_picture(request.variant, answer)
        self._figures |= {
            "pictures": len(answer.images),
            "steps_run": len(answer.images) * request.invocation.steps_run,
            **({} if cost is None else {"usd_per_picture": cost}),
        }
        self._facts |= {"prompt_tokens": answer.prompt_tokens, "warnings": len(answer.warnings)}

    def not_kept(self, error: FrontDoorError) -> None:
        self._facts["not_kept"] = self._redacted(f"{type(error).__name__}: {error}")

    def failed(self, error: Exception) -> None:
        """A caller's mistake is a code and a field; ours comes with its text, an unforeseen one
        with its traceback."""
        self._facts["error"] = type(error).__name__
        if isinstance(error, RequestError):
            self._facts["code"] = error.code
            # An unknown field's name is the caller's text, and may be a misplaced prompt.
            if error.param in _PUBLIC:
                self._facts["param"] = error.param
        elif isinstance(error, FrontDoorError):
            self._facts["detail"] = self._redacted(str(error))
        else:
            self._facts["detail"] = self._redacted("".join(traceback.format_exception(error)))

    def line(self, status: int) -> str:
        """With metrics of a model's requests: of what was drawn by time, number and cost, and of
        what failed by number."""
        entry = {"event": "request", "request_id": self.request_id, "status": status, **self._facts}
        times = {f"{stage}_ms": ms for stage, ms in self.stages_ms.items()}
        times["total_ms"] = self.total_ms()
        figures: dict[str, float] = {}
        if status == 200:
            figures = {**times, **self._figures, "failed": 0}
        elif status >= 500:
            figures = {"failed": 1}
        if self._metrics and figures:
            entry |= embedded(*self._metrics, figures)
        return json.dumps({**entry, **times, **figures})

    def hide(self, *texts: str | None) -> None:
        for text in filter(None, texts):
            spellings = (json.dumps(text), json.dumps(text, ensure_ascii=False), repr(text))
            self._private += [text, *(spelling[1:-1] for spelling in spellings)]

    def _asked_by(self, user: str | None) -> None:
        if user:
            self._facts["user"] = hashlib.sha256(user.encode()).hexdigest()[:16]

    def _ms_since(self, began: float) -> float:
        return round((self._timer() - began) * 1000, 1)

    def _redacted(self, text: str) -> str:
        text = _SIGNED.sub(r"\1[redacted]", text)
        private = filter(None, self._private)
        if longest_first := sorted(private, key=len, reverse=True):
            text = re.sub("|".join(map(re.escape, longest_first)), "[redacted]", text)
        # CloudWatch takes 256 KB a line; the end of a traceback says most.
        return text[-8000:]
