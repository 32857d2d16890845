"""The API's operations on kept pictures, from a request to the body of its response."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from front_door.errors import InvalidRequest, RecordNotFound
from front_door.request_log import RequestLog
from front_door.routing import operation_of, read_query
from front_door.variants import VariantRegistry
from gallery.keeping import Gallery
from gallery.rows import NotThere
from gallery.texts import index_of
from gallery.vectors import Wanted
from sd_contract.fields import PROMPT, Allowed, Problem, Text, shown
from sd_contract.gallery import MOST_SIMILAR, Kept, is_id

SIMILAR, LISTED = 10, 20
"""How many without a `limit`."""
_LIST: Mapping[str, Allowed] = {"after": Text(0, 80)}
_SIMILAR: Mapping[str, Allowed] = {
    "prompt": PROMPT,
    "picture": Text(0, 80),
    "model": Text(),
    "size": Text(0, 20),
}


@dataclass(frozen=True)
class Request:
    """`path` is the resource's template, `id` what is in it."""

    method: str
    path: str
    id: str
    query: Mapping[str, str]


@dataclass(frozen=True)
class GalleryApi:
    gallery: Gallery
    registry: VariantRegistry

    def answer(self, request: Request, log: RequestLog) -> Mapping[str, Any]:
        """Raises FrontDoorError."""
        routes: dict[str, dict[str, Callable[[Request, RequestLog], Mapping[str, Any]]]] = {
            "/similar": {"GET": self._similar},
            "/pictures": {"GET": self._list},
            "/pictures/{id}": {"GET": self._picture, "DELETE": self._delete},
        }
        return operation_of(routes, request.path, request.method)(request, log)

    def _list(self, request: Request, _log: RequestLog) -> Mapping[str, Any]:
        values, limit = read_query(request.query, _LIST, MOST_SIMILAR, LISTED)
        found, more = self.gallery.rows.newest(limit, values.get("after", ""))
        return {
            "object": "list",
            "data": [self._public(picture) for picture in found],
            "first_id": found[0].id if found else None,
            "last_id": found[-1].id if found else None,
            "has_more": more,
        }

    def _picture(self, request: Request, _log: RequestLog) -> Mapping[str, Any]:
        return self._public(self._find(request.id, "picture_id"))

    def _delete(self, request: Request, _log: RequestLog) -> Mapping[str, Any]:
        picture = self._find(request.id, "picture_id")
        self.gallery.delete(picture)
        return {"id": picture.id, "object": "picture.deleted", "deleted": True}

    def _similar(self, request: Request, log: RequestLog) -> Mapping[str, Any]:
        prompt = request.query.get("prompt")
        log.hide(prompt)
        values, limit = read_query(request.query, _SIMILAR, MOST_SIMILAR, SIMILAR)
        if ("prompt" in values) == ("picture" in values):
            message = "prompt: required, or picture in its place, and not both"
            raise InvalidRequest(Problem("prompt", message, "missing_field"))
        model, size, but = values.get("model"), values.get("size"), None
        if "picture" in values:
            picture = self._find(values["picture"], "picture")
            index, but = picture.index, picture.id
            # Until its own is there, its prompt's, which is the same.
            vector = self.gallery.vectors.vector(picture) or self._vector(
                picture.prompt, index, picture.model, log
            )
        else:
            variant = self.registry.resolve(model)
            index = index_of(variant)
            vector = self._vector(values["prompt"], index, variant.name, log)
        rows = self.gallery.rows
        with log.stage("vectors"):
            near = self.gallery.vectors.nearest(
                index, vector, limit, Wanted(model, size, but), rows.now()
            )
        # One whose row is gone is about to go.
        there = rows.pictures([id for id, _ in near])
        data = [
            {**self._public(there[id]), "distance": round(distance, 6)}
            for id, distance in near
            if id in there
        ]
        return {"object": "list", "data": data}

    def _vector(self, text: str, index: str, model: str, log: RequestLog) -> list[float]:
        log.hide(text)
        with log.stage("endpoint"):
            return self.gallery.texts.vector(text, index, model, log.request_id)

    def _find(self, id: str, field: str) -> Kept:
        """Raises RecordNotFound, of `field`."""
        try:
            if not is_id(id):
                raise NotThere(id)
            return self.gallery.rows.picture(id)
        except NotThere:
            message = (
                f"{field}: {shown(id)} is not there: not yet, as pictures come some seconds after "
                "their answer, or not any more"
            )
            raise RecordNotFound(Problem(field, message, "picture_not_found")) from None

    def _public(self, picture: Kept) -> dict[str, Any]:
        return picture.public(self.gallery.files.url(picture))
