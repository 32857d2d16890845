"""The gallery with all that it works with, of the function's environment."""

import functools
import json
import os
import time
from collections.abc import Callable
from typing import Any

from botocore.session import get_session

from front_door.clients import QUICK, make_client, make_s3
from front_door.variants import VariantRegistry
from gallery.config import Config
from gallery.files import Files
from gallery.keeping import Gallery
from gallery.rows import Rows
from gallery.texts import Texts
from gallery.vectors import Vectors


@functools.cache
def config() -> Config:
    return Config.from_env(os.environ)


def build(invoke_s: float) -> Gallery:
    """`invoke_s` is how long an endpoint may take for a vector."""
    told, session = config(), get_session()
    client = functools.partial(make_client, session)
    s3 = functools.partial(make_s3, session, **QUICK)
    return Gallery(
        Rows(client("dynamodb"), told.table),
        Vectors(functools.cache(functools.partial(client, "s3vectors")), told.vector_bucket),
        Files(functools.cache(s3), told.bucket, told.picture_bucket, told.url_ttl_s),
        Texts(
            VariantRegistry(
                client("ssm"),
                prefix=told.variant_prefix,
                default_model=told.default_model,
                ttl_s=told.cache_ttl_s,
                clock=time.time,
                log=say,
            ),
            client("sagemaker-runtime", read_timeout=invoke_s, retries={"total_max_attempts": 1}),
        ),
        told.picture_days,
    )


def say(line: dict[str, Any]) -> None:
    """To the function's log."""
    print(json.dumps(line, default=str))


Say = Callable[[dict[str, Any]], None]
