"""The batch functions' environment, the same for all of them, parsed once into a typed object.

As the front door's, every variable is required but the origins and who signs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from front_door.config import FLAG, ORIGINS, PATH
from sd_contract.environment import Reader, number, text, whole
from sd_contract.fields import Number, Whole
from sd_contract.limits import PRESIGNED_URL_S


@dataclass(frozen=True)
class Config:
    variant_prefix: str
    fleet_prefix: str
    default_model: str
    picture_bucket: str
    """The front door's: an edit may begin with a picture of it."""
    bucket: str
    table: str
    queue_url: str
    checker: str
    """The function's name."""
    job_prefix: str
    """What the names of bulk jobs begin with."""
    event_source: str
    """Of what is told to EventBridge."""
    result_days: int
    """How long files, batches and their pictures are kept."""
    bulk_pictures: int
    """Batches of more are the bulk engine's, where a variant has it."""
    real_time_share: float
    """Of a real-time endpoint's time, at most."""
    url_ttl_s: int
    cache_ttl_s: float
    embed_prompt: bool
    cors_origins: tuple[str, ...]
    signing_function: str
    """Its name; "": pictures aren't signed."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Config":
        """Raises sd_contract's ConfigError with all mistakes at once."""
        read = Reader(env)
        config = cls(
            variant_prefix=read("SD_VARIANT_PREFIX", PATH),
            fleet_prefix=read("SD_FLEET_PREFIX", PATH),
            default_model=read("SD_DEFAULT_MODEL", text("a variant's name")),
            picture_bucket=read("SD_PICTURE_BUCKET", text("a bucket's name")),
            bucket=read("SD_BATCH_BUCKET", text("a bucket's name")),
            table=read("SD_BATCH_TABLE", text("a table's name")),
            queue_url=read("SD_BATCH_QUEUE_URL", text("a queue's URL")),
            checker=read("SD_BATCH_CHECKER", text("a function's name")),
            job_prefix=read("SD_BATCH_JOB_PREFIX", text("a prefix such as sd-bulk-")),
            event_source=read("SD_BATCH_EVENT_SOURCE", text("a name such as sd.batches")),
            result_days=read("SD_BATCH_RESULT_DAYS", whole(Whole(1, 365))),
            bulk_pictures=read("SD_BATCH_BULK_PICTURES", whole(Whole(0, 1_000_000))),
            real_time_share=read("SD_BATCH_REAL_TIME_SHARE", number(Number(0.01, 1))),
            url_ttl_s=read("SD_URL_TTL_S", whole(Whole(1, PRESIGNED_URL_S))),
            cache_ttl_s=read("SD_CACHE_TTL_S", number(Number(0, 3600))),
            embed_prompt=read("SD_EMBED_PROMPT", FLAG),
            cors_origins=read("SD_CORS_ORIGINS", ORIGINS, ()),
            signing_function=read("SD_SIGNING_FUNCTION", text("a function's name"), ""),
        )
        read.raise_problems()
        return config
