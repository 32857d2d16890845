"""The Lambda's environment, parsed once into a typed object.

Every variable is required, but the origins, who signs and who keeps, of which there may be none:
the defaults live in the app's settings, and a second copy here could drift from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sd_contract.environment import Parser, Reader, number, text, whole
from sd_contract.fields import Number, Whole
from sd_contract.limits import LAMBDA_BYTES, PRESIGNED_URL_S

# What a request costs besides the endpoint's own seconds: the Lambda's cold start, reading the
# registrations, storing up to four PNGs, the gateway itself. Kept back from the gateway's limit,
# so that a slow endpoint ends in our 504 and not in the gateway's, which has no request id.
RESERVE_S = 3.0
# Besides, where pictures are signed: that Lambda's cold start, and KMS.
SIGNING_RESERVE_S = 3.0


@dataclass(frozen=True)
class Config:
    variant_prefix: str
    default_model: str
    picture_bucket: str
    url_ttl_s: int
    gateway_timeout_s: float
    cache_ttl_s: float
    max_body_bytes: int
    max_edit_bytes: int
    cors_origins: tuple[str, ...]
    """Whose pages may read the answers; "*": everybody's."""
    log_prompts: bool
    embed_prompt: bool
    metrics_namespace: str
    signing_function: str
    """Its name; "": pictures aren't signed."""
    gallery_queue_url: str
    """"": there can be no gallery."""
    gallery_function: str
    """Its name."""
    store: bool
    """Whether the gallery keeps the pictures of a request that doesn't say."""

    @property
    def endpoint_timeout_s(self) -> float:
        """How long the endpoint may take for the whole to be done within the gateway's limit."""
        signing_s = SIGNING_RESERVE_S if self.signing_function else 0.0
        return self.gateway_timeout_s - RESERVE_S - signing_s

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Config":
        """Raises sd_contract's ConfigError with all mistakes at once."""
        read = Reader(env)
        config = cls(
            variant_prefix=read("SD_VARIANT_PREFIX", PATH),
            default_model=read("SD_DEFAULT_MODEL", text("a variant's name")),
            picture_bucket=read("SD_PICTURE_BUCKET", text("a bucket's name")),
            url_ttl_s=read("SD_URL_TTL_S", whole(Whole(1, PRESIGNED_URL_S))),
            gateway_timeout_s=read("SD_GATEWAY_TIMEOUT_S", number(Number(RESERVE_S + 1, 900))),
            cache_ttl_s=read("SD_CACHE_TTL_S", number(Number(0, 3600))),
            max_body_bytes=read("SD_MAX_BODY_BYTES", whole(Whole(1, LAMBDA_BYTES))),
            max_edit_bytes=read("SD_MAX_EDIT_BYTES", whole(Whole(1, LAMBDA_BYTES))),
            cors_origins=read("SD_CORS_ORIGINS", ORIGINS, ()),
            log_prompts=read("SD_LOG_PROMPTS", FLAG),
            embed_prompt=read("SD_EMBED_PROMPT", FLAG),
            metrics_namespace=read("SD_METRICS_NAMESPACE", text("a CloudWatch namespace")),
            signing_function=read("SD_SIGNING_FUNCTION", text("a function's name"), ""),
            gallery_queue_url=read("SD_GALLERY_QUEUE_URL", text("a queue's URL"), ""),
            gallery_function=read("SD_GALLERY_FUNCTION", text("a function's name"), ""),
            store=read("SD_STORE", FLAG, False),
        )
        read.raise_problems()
        return config


def _path(value: str) -> str:
    if not value.startswith("/") or value.endswith("/"):
        raise ValueError
    return value


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError
    return value == "true"


PATH = Parser("an SSM path such as /sd/variants", _path)
ORIGINS = Parser("origins, with commas between them", lambda value: tuple(value.split(",")))
FLAG = Parser("a flag: true or false", _flag)
