"""A function's log is written under its role, as on AWS: what that may not write is lost, and with
it the metrics in its lines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc

from local_cloud.ministack.embedded_metrics import publish_embedded
from local_cloud.ministack.identity import (
    RoleUnusable,
    allowed,
    assume_service_role,
    enter_account,
)
from local_cloud.settings import CloudSettings


def install_function_logs(settings: CloudSettings) -> None:
    """Once, before anything is served."""
    lambda_svc._emit_lambda_logs = as_the_role_may(settings, lambda_svc._emit_lambda_logs)


def as_the_role_may(settings: CloudSettings, emit: Callable[..., None]) -> Callable[..., None]:
    keys: dict[str, str] = {}

    def may_write(config: Mapping[str, Any]) -> bool:
        enter_account(settings)
        role, name = config["Role"], config["FunctionName"]
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
        actions = ["CreateLogStream", "PutLogEvents"]
        if group not in cloudwatch_logs._log_groups:
            actions.append("CreateLogGroup")
        if role not in keys:
            session = assume_service_role(settings, role, "lambda.amazonaws.com", name)
            keys[role] = session.access_key
        stream = settings.arn("logs", f"log-group:{group}:log-stream:{name}")
        return all(allowed(settings, keys[role], f"logs:{action}", stream) for action in actions)

    def wrapped(
        function: Mapping[str, Any], request_id: str, log: str | None, *rest: Any, **more: Any
    ) -> None:
        # The caller's context has the signature of the request that the function answers.
        with contextlib.suppress(RoleUnusable):
            if Context().run(may_write, function.get("config") or function):
                emit(function, request_id, log, *rest, **more)
                publish_embedded(log or "")

    return wrapped
