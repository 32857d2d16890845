"""How events and notifications are delivered, where MiniStack does it other than AWS.

To a function only where its policy lets the rule or topic, and twice more where it fails; to a
queue or topic only where its policy lets the rule.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from botocore.exceptions import ClientError
from ministack.services import eventbridge, lambda_svc, sns, sqs

from local_cloud import aws
from local_cloud.ministack.function_policies import may_invoke
from local_cloud.ministack.identity import assume_service_role, enter_account
from local_cloud.ministack.topics import may_publish
from local_cloud.settings import CloudSettings

_log = logging.getLogger(__name__)
# Until the first of an asynchronous invocation's two further tries; then twice that (developer
# guide, invocation-async-error-handling).
RETRY_S = 60.0


def correct_deliveries(settings: CloudSettings) -> None:
    """Once, before anything is served."""
    lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS = RETRY_S * settings.time_scale
    eventbridge._invoke_target = where_let(settings, eventbridge._invoke_target)
    # MiniStack's own call a function once, whatever comes of it.
    eventbridge._dispatch_to_lambda = lambda function, event: invoke(
        settings, function, json.loads(event)
    )
    sns._deliver_to_lambda = notify(settings)
    lambda_svc._route_async_failure = to_dead_letters(settings, lambda_svc._route_async_failure)


def where_let(settings: CloudSettings, deliver: Callable[..., None]) -> Callable[..., None]:
    """What a target doesn't let is lost, as on AWS where a rule has no dead-letter queue."""

    def wrapped(target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], *rest: Any) -> None:
        arn, service = str(target.get("Arn")), "events.amazonaws.com"
        kind = arn.split(":")[2]
        lets: dict[str, Callable[[], bool]] = {
            "lambda": lambda: may_invoke(settings, arn, service, rule["Arn"]),
            "sqs": lambda: sqs.queue_policy_allows(arn, service, rule["Arn"], settings.account),
            "sns": lambda: may_publish(settings, arn, service, rule["Arn"]),
        }
        if kind in lets and not lets[kind]():
            _log.warning("%s doesn't let %s deliver an event", arn, rule["Arn"])
            return
        deliver(target, event, rule, *rest)

    return wrapped


def notify(settings: CloudSettings) -> Callable[..., None]:
    def wrapped(function: str, envelope: str, topic: str, subscription: str, *_: Any) -> None:
        if not may_invoke(settings, function, "sns.amazonaws.com", topic):
            _log.warning("%s doesn't let %s deliver a notification", function, topic)
            return
        record = {
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription,
            "EventSource": "aws:sns",
            "Sns": json.loads(envelope),
        }
        invoke(settings, function, {"Records": [record]})

    return wrapped


def to_dead_letters(settings: CloudSettings, route: Callable[..., None]) -> Callable[..., None]:
    """A function's dead-letter queue gets the event itself, by the function's role; MiniStack gives
    it the record that a destination gets (developer guide, invocation-async-retain-records)."""

    def wrapped(target: str, name: str, event: Any, result: Mapping[str, Any]) -> None:
        config = lambda_svc._functions[name]["config"]
        letters = (config.get("DeadLetterConfig") or {}).get("TargetArn")
        if target != letters or target.split(":")[2] != "sqs":
            route(target, name, event, result)
            return
        role = assume_service_role(settings, config["Role"], "lambda.amazonaws.com", name)
        body = result.get("body")
        said = body.get("errorMessage") if isinstance(body, dict) else None
        try:
            aws.client(settings, "sqs", role).send_message(
                QueueUrl=f"{settings.url}/{settings.account}/{target.rsplit(':', 1)[1]}",
                MessageBody=json.dumps(event),
                MessageAttributes={
                    "ErrorCode": {"DataType": "Number", "StringValue": "200"},
                    "ErrorMessage": {"DataType": "String", "StringValue": said or "Unhandled"},
                },
            )
        except ClientError as error:
            _log.warning("%s couldn't send a dead letter: %s", name, error)

    return wrapped


def invoke(settings: CloudSettings, function: str, event: Any) -> None:
    """Asynchronously, by the function's ARN."""

    def work() -> None:
        enter_account(settings)
        record, config, _ = lambda_svc._get_func_record_for_ref(function)
        if record is not None:
            prepared = lambda_svc._execution_record_for_config(record, config)
            lambda_svc.invoke_async_with_retry(prepared, event)

    # The caller's context has the signature of the request that led here.
    Context().run(work)
