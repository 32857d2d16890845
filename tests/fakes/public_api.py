"""The public API for one of its callers, on a port: it takes what docs/openapi.json allows, draws
flat colours, and keeps pictures whose distance is how few words their prompts have in common."""

from __future__ import annotations

import base64
import colorsys
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fastjsonschema
import torch

from sd_contract.invocation import Edit, Invocation
from sd_contract.sampling import STANDARD
from sd_contract.seeds import seeds_of
from sd_contract.size import Size
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine
from sd_serving.metadata import parameters
from sd_serving.picture_file import encode
from tests.fakes.serving import WEIGHTS, config

KEY = "a-key"
MODEL_ID = "tiny/shapes, in: colours"
DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())


def model(name: str, **changes: Any) -> dict[str, Any]:
    entry = {
        "id": name, "object": "model", "created": 1, "owned_by": "sd", "endpoint_name": name,
        "engine": "diffusers", "instance_type": "ml.g5.xlarge", "instance_count": 1,
        "price_usd_per_hour": 1.4084, "price_date": "2026-11-25", "price_source": "a test",
        "region": "us-east-1", "sizes": ["64x64", "96x64"], "max_images": 4, "default_steps": 25,
        "max_steps": 100, "default_guidance_scale": 7.5, "seconds_per_step": 0.04,
        "modes": {
            "standard": {"steps": 25, "seconds_per_step": 0.04},
            "fast": {"steps": 10, "seconds_per_step": 0.03},
        },
        "model_id": MODEL_ID, "revision": "1", "license": "openrail++",
        "license_url": "https://example.com", "artifact_key": "k", "default": name == "g5",
        "built": None, "serve": ["real-time", "bulk"], "endpoint_config": None, "stopped": None,
    }  # fmt: skip
    return entry | changes


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class PublicApi:
    """`draw` makes a file of a request's body and a seed. `asked` are the requests: method and
    path, and the body. Without a `gallery` its paths are 404s, and without `embeddings` theirs;
    `broken` names models whose endpoint fails."""

    draw: Callable[[Mapping[str, Any], int], bytes] = field(default_factory=lambda: png)
    gallery: bool = True
    embeddings: bool = True
    models: list[dict[str, Any]] = field(
        default_factory=lambda: [
            model("g5"),
            model("djl", engine="djl-deepspeed"),
            model(
                "inf2",
                engine="neuronx",
                instance_type="ml.inf2.xlarge",
                price_usd_per_hour=0.99,
                serve=["real-time"],
            ),
        ]
    )
    broken: set[str] = field(default_factory=set)
    url: str = ""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    kept: list[dict[str, Any]] = field(default_factory=list)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        self.asked.append((f"{method} {path}", body))
        parts = path.split("/")[1:]
        match method, *parts:
            case "GET", "models":
                return {"object": "list", "data": self.models}
            case "POST", "images", kind:
                return self.drawn(kind, body)
            case "POST", "embeddings" if self.embeddings:
                tokens = len(body["input"].split()) + 2
                return {"object": "list", "model": body["model"], "data": [],
                        "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}  # fmt: skip
            case _, "similar" | "pictures", *_ if not self.gallery:
                raise Refusal(404, "there is no gallery", "gallery_not_deployed")
            case "GET", "similar":
                return {"object": "list", "data": self.similar(query)}
            case "GET", "pictures":
                return self.listed(query)
            case "DELETE", "pictures", name:
                self.kept = [each for each in self.kept if each["id"] != name]
                return {"id": name, "object": "picture.deleted", "deleted": True}
            case "POST", "batches":
                return self.started(body)
            case "GET", "batches", name:
                return self.advanced(self.batches[name])
            case "POST", "batches", name, "cancel":
                self.batches[name]["status"] = "cancelled"
                return self.batches[name]
            case "GET", "files", name, "content":
                return self.lines[name]
        raise Refusal(404, f"{path}: no such path", "not_found")

    def drawn(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        check(kind, body)
        body = {"seed": 1} | body
        name = body["model"]
        if name in self.broken:
            raise Refusal(503, f"the endpoint of {name} is not in service", "model_not_in_service")
        pictures = [self.picture(body, seed) for seed in seeds_of(body["seed"], body.get("n", 1))]
        return {
            "created": 1, "model": name, "data": pictures, "size": body["size"],
            "output_format": "png", "background": "opaque",
            "usage": {"seconds": 0.5 * len(pictures)},
        }  # fmt: skip

    def picture(self, body: Mapping[str, Any], seed: int) -> dict[str, Any]:
        path = f"/files/{len(self.files)}.png"
        self.files[path] = self.draw(body, seed)
        url = self.url.removesuffix("/v1") + path
        if not body.get("store"):
            return {"url": url, "seed": seed}
        name = f"pic_{len(self.files):032x}"
        names = ("model", "prompt", "size", "num_inference_steps", "guidance_scale")
        entry = {each: body[each] for each in names}
        entry |= {"id": name, "object": "picture", "created_at": 1, "expires_at": 2}
        entry |= {"negative_prompt": "", "seed": seed, "url": url}
        entry |= {"quality": body.get("quality", STANDARD)}
        self.kept.insert(0, entry)
        return {"id": name, "url": url, "seed": seed}

    def similar(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        named = {each["id"]: each for each in self.kept}
        words = set((query.get("prompt") or named[query["picture"]]["prompt"]).split())
        found = [
            {**each, "distance": distance(words, set(each["prompt"].split()))}
            for each in self.kept
            if each["id"] != query.get("picture")
            and all(each[name] == query.get(name, each[name]) for name in ("model", "size"))
        ]
        return sorted(found, key=lambda each: float(each["distance"]))[: int(query["limit"])]

    def listed(self, query: Mapping[str, str]) -> dict[str, Any]:
        names = [each["id"] for each in self.kept]
        first = names.index(query["after"]) + 1 if "after" in query else 0
        data = self.kept[first : first + int(query["limit"])]
        return {"object": "list", "data": data, "has_more": first + len(data) < len(names)}

    def started(self, body: Mapping[str, Any]) -> dict[str, Any]:
        (line,) = body["requests"]
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "id": name, "status": "in_progress", "errors": None, "output_file_id": None,
            "usage": {"pictures": 0, "cost_usd": 0.002}, "line": line["body"],
        }  # fmt: skip
        return self.batches[name]

    def advanced(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Half of it a look."""
        n = batch["line"]["n"]
        if batch["status"] == "in_progress":
            batch["usage"]["pictures"] = min(n, batch["usage"]["pictures"] + (n + 1) // 2)
        if batch["usage"]["pictures"] == n and batch["status"] == "in_progress":
            seeds = seeds_of(batch["line"].get("seed", 1), n)
            data = [self.picture(batch["line"], seed) for seed in seeds]
            batch |= {"status": "completed", "output_file_id": f"{batch['id']}.out"}
            line = {"custom_id": "1", "error": None, "response": {"body": {"data": data}}}
            self.lines[batch["output_file_id"]] = json.dumps(line)
        return batch


def distance(one: set[str], other: set[str]) -> float:
    return 1 - len(one & other) / len(one | other)


def check(kind: str, body: dict[str, Any]) -> None:
    """Raises Refusal for what the description doesn't allow."""
    name = "EditRequest" if kind == "edits" else "GenerationRequest"
    try:
        VALID[name](body)
    except fastjsonschema.JsonSchemaValueException as error:
        raise Refusal(400, error.message, "invalid_type") from None


def _validator(name: str) -> Any:
    schema = json.loads(json.dumps(DOCUMENT["components"]["schemas"][name]))
    schema["properties"].setdefault("store", {"type": "boolean"})
    return fastjsonschema.compile(schema, use_default=False)


VALID = {name: _validator(name) for name in ("GenerationRequest", "EditRequest")}


def png(body: Mapping[str, Any], seed: int) -> bytes:
    """A flat colour of the prompt and the seed, in a file as the containers write it."""
    asked = invocation(body, seed)
    hue = (len(body["prompt"]) * 37 + seed * 61) % 360 / 360
    colour = [int(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.6, 0.9)]
    pixels = torch.tensor(colour, dtype=torch.uint8).expand(asked.size.height, asked.size.width, 3)
    return encode(pixels, asked, parameters(asked, seed, MODEL_ID, "1"))


def invocation(body: Mapping[str, Any], seed: int) -> Invocation:
    width, height = map(int, body["size"].split("x"))
    edit = None
    if "strength" in body:
        image, mask = (
            base64.b64decode(body[name].partition(",")[2]) if body.get(name) else None
            for name in ("image", "mask")
        )
        edit = Edit(image or b"", mask, body["strength"])
    return Invocation(
        body["prompt"],
        body.get("negative_prompt", ""),
        1,
        Size(width, height),
        body["num_inference_steps"],
        body["guidance_scale"],
        seed,
        quality=body.get("quality", STANDARD),
        edit=edit,
    )


def small_model() -> Callable[[Mapping[str, Any], int], bytes]:
    """What draws with the real engine and the small model."""
    parts = load_diffusers(WEIGHTS, dtype=torch.float32, device=torch.device("cpu"))
    engine = Engine(replace(parts, model_id=MODEL_ID), config())
    one_at_a_time = threading.Lock()

    def draw(body: Mapping[str, Any], seed: int) -> bytes:
        with one_at_a_time:
            (answer,) = engine.generate([invocation(body, seed)])
        return answer.images[0]

    return draw


@contextmanager
def served(api: PublicApi) -> Iterator[str]:
    """The API's URL, which ends in /v1."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            pass

        def handle_any(self) -> None:
            split = urlsplit(self.path)
            if content := api.files.get(split.path):
                return self.reply(200, content, "image/png")
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            query = {name: value for name, (value,) in parse_qs(split.query).items()}
            try:
                if KEY not in (self.headers.get("x-api-key"), self.bearer()):
                    raise Refusal(401, "the API key is missing or wrong", "invalid_api_key")
                found = api.answer(self.command, split.path.removeprefix("/v1"), query, body)
            except Refusal as error:
                shape = {"message": str(error), "type": "t", "param": None, "code": error.code}
                return self.reply(error.status, json.dumps({"error": shape}).encode())
            text = found if isinstance(found, str) else json.dumps(found)
            return self.reply(200, text.encode())

        def bearer(self) -> str:
            return (self.headers.get("authorization") or "").removeprefix("Bearer ")

        def reply(self, status: int, content: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = handle_any

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        api.url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield api.url
        finally:
            server.shutdown()
