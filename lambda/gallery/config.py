"""The gallery's functions' environment, the same for all of them, parsed once into a typed object.

As the front door's, every variable is required.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from front_door.config import PATH
from sd_contract.environment import Reader, number, text, whole
from sd_contract.fields import Number, Whole
from sd_contract.limits import PRESIGNED_URL_S


@dataclass(frozen=True)
class Config:
    variant_prefix: str
    default_model: str
    picture_bucket: str
    """The front door's."""
    bucket: str
    table: str
    vector_bucket: str
    picture_days: int
    """How long a picture is kept."""
    url_ttl_s: int
    cache_ttl_s: float

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Config":
        """Raises sd_contract's ConfigError with all mistakes at once."""
        read = Reader(env)
        config = cls(
            variant_prefix=read("SD_VARIANT_PREFIX", PATH),
            default_model=read("SD_DEFAULT_MODEL", text("a variant's name")),
            picture_bucket=read("SD_PICTURE_BUCKET", text("a bucket's name")),
            bucket=read("SD_GALLERY_BUCKET", text("a bucket's name")),
            table=read("SD_GALLERY_TABLE", text("a table's name")),
            vector_bucket=read("SD_GALLERY_VECTORS", text("a vector bucket's name")),
            picture_days=read("SD_GALLERY_DAYS", whole(Whole(1, 365))),
            url_ttl_s=read("SD_URL_TTL_S", whole(Whole(1, PRESIGNED_URL_S))),
            cache_ttl_s=read("SD_CACHE_TTL_S", number(Number(0, 3600))),
        )
        read.raise_problems()
        return config
