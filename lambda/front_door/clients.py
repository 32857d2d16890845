"""botocore's clients of the functions that answer the gateway."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from botocore.config import Config
from botocore.session import Session

QUICK: Mapping[str, Any] = MappingProxyType(
    {"connect_timeout": 1, "read_timeout": 5, "retries": {"total_max_attempts": 2}}
)
"""A caller waits for the answer."""


def make_client(session: Session, service: str, **config: Any) -> Any:
    """QUICK, but for what `config` says."""
    return session.create_client(service, config=Config(**{**QUICK, **config}))


def make_s3(session: Session, **config: Any) -> Any:
    """Virtual addressing: without it S3 URLs outside us-east-1 are signed for the global host,
    whose redirect breaks the signature."""
    s3 = {"addressing_style": "virtual"}
    return session.create_client("s3", config=Config(signature_version="s3v4", s3=s3, **config))
