"""What alarms and rules tell topics: only where the topic's policy lets CloudWatch or EventBridge,
which MiniStack passes over (SNS's developer guide, sns-access-policy-use-cases)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from ministack.core.iam_evaluator import pin_request_origin
from ministack.services import sns

from local_cloud.ministack.identity import enter_account
from local_cloud.settings import CloudSettings

_log = logging.getLogger(__name__)
STATES = ("AlarmActions", "OKActions", "InsufficientDataActions")


def where_topics_let(settings: CloudSettings, dispatch: Callable[..., None]) -> Callable[..., None]:
    """What a topic doesn't let is lost, as on AWS, where the alarm's history says so."""

    def wrapped(alarm: Mapping[str, Any], *states: str) -> None:
        def lets(action: str) -> bool:
            if not action.startswith("arn:aws:sns:"):
                return True
            source = alarm["AlarmArn"]
            allowed = may_publish(settings, action, "cloudwatch.amazonaws.com", source)
            if not allowed:
                _log.warning("%s doesn't let %s publish", action, source)
            return allowed

        listed = {name: [a for a in alarm.get(name) or () if lets(a)] for name in STATES}
        dispatch({**alarm, **listed}, *states)

    return wrapped


def may_publish(settings: CloudSettings, topic: str, service: str, source: str) -> bool:
    """`source` is the ARN of the service's alarm or rule."""

    def asked() -> bool:
        enter_account(settings)
        # AWS's services come over TLS, which topics may insist on.
        pin_request_origin("127.0.0.1", True)
        return bool(sns.topic_policy_allows(topic, service, source, settings.account))

    # Whoever's request has set it off, this isn't theirs.
    return Context().run(asked)
