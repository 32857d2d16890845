"""MiniStack's ASGI application: its settings before it is imported, and then itself."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from local_cloud.settings import CloudSettings

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""ASGI's (scope, receive, send)."""


def prepare_environment(settings: CloudSettings) -> None:
    """MiniStack reads its settings from the environment when it is imported: set them first."""
    os.environ.update(
        {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(settings.port),
            "MINISTACK_HOST": "localhost",
            "MINISTACK_ACCOUNT_ID": settings.account,
            "MINISTACK_REGION": settings.region,
            "MINISTACK_CODEBUILD_EXECUTE": "1",
            "LAMBDA_EXECUTOR": "local",
            "STATE_DIR": str(settings.state / "ministack"),
            "S3_DATA_DIR": str(settings.state / "s3"),
            "TMPDIR": str(settings.temporary),
            # A Docker daemon of the user's is none of our business.
            "DOCKER_HOST": f"unix://{settings.state}/no-docker.sock",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "AWS_ENDPOINT_URL": settings.url,
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            # The key of the root user; nobody is given it.
            "AWS_ACCESS_KEY_ID": settings.account,
            "AWS_SECRET_ACCESS_KEY": "root",
        }
    )
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "SERVICES", "PERSIST_STATE", "S3_PERSIST"):
        os.environ.pop(name, None)


def application() -> Application:
    """Says of every request that it came over TLS, as every request to AWS does.

    The bootstrap bucket's policy denies what doesn't (aws:SecureTransport); loopback needs none.
    """
    from ministack.app import app

    from local_cloud.ministack.loops import hear

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            hear(scope["headers"])
            names = {name.lower() for name, _ in scope["headers"]}
            if b"x-forwarded-proto" not in names:
                headers = [*scope["headers"], (b"x-forwarded-proto", b"https")]
                scope = {**scope, "headers": headers}
        await app(scope, receive, send)

    return wrapped
