"""Queues and the functions they are event sources of, where MiniStack does other than AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ministack.services import lambda_svc, sqs
from ministack.services.cloudformation import provisioners

from local_cloud.api_shapes import BadRequest
from local_cloud.ministack.answers import refusal
from local_cloud.ministack.identity import RoleUnusable, allowed, assume_service_role
from local_cloud.ministack.loops import is_stopped
from local_cloud.settings import CloudSettings

Record = dict[str, Any]
Check = Callable[[Mapping[str, Any]], None]
"""BadRequest for what AWS refuses of a resource's properties."""
MAPPING = "AWS::Lambda::EventSourceMapping"
QUEUE = "AWS::SQS::Queue"
# What Lambda does with a queue, under the function's role.
CONSUMES = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
# After a batch that failed, until the next one is taken.
PAUSE_S = 1.0


def correct_queues(settings: CloudSettings) -> None:
    """Once, before anything is served."""
    resources = provisioners._RESOURCE_HANDLERS
    create = lambda_svc._create_esm

    def create_mapping(request: Mapping[str, Any]) -> Any:
        try:
            check_mapping(settings, request)
        except BadRequest as error:
            return refusal(error)
        return create(request)

    lambda_svc._create_esm = create_mapping
    lambda_svc._sqs_esm_concurrency = by_message_groups(lambda_svc._sqs_esm_concurrency)
    lambda_svc._run_sqs_batch = run_batch
    checks: dict[str, Check] = {
        MAPPING: partial(check_mapping, settings),
        QUEUE: check_dead_letters,
    }
    for kind, check in checks.items():
        for verb, properties in (("create", 1), ("update", 2)):
            resources[kind][verb] = checked(resources[kind][verb], properties, check)
    for action in ("CreateQueue", "SetQueueAttributes"):
        sqs._HANDLERS[action] = with_dead_letters_checked(sqs._HANDLERS[action])


def checked(handler: Callable[..., Any], properties: int, check: Check) -> Callable[..., Any]:
    """`properties` is the place of a resource's own among the handler's arguments."""

    def wrapped(*arguments: Any) -> Any:
        check(arguments[properties])
        return handler(*arguments)

    return wrapped


def check_mapping(settings: CloudSettings, request: Mapping[str, Any]) -> None:
    """BadRequest where Lambda refuses to make a function the consumer of a queue (its sentences as
    in hashicorp/terraform-provider-aws#18099 and #14204)."""
    source = request["EventSourceArn"]
    queue = sqs._queue_by_arn(source) if ":sqs:" in source else None
    _, config, name = lambda_svc._get_func_record_for_ref(request["FunctionName"])
    if queue is None or config is None:
        return
    visible_s, timeout_s = int(queue["attributes"]["VisibilityTimeout"]), int(config["Timeout"])
    if visible_s < timeout_s:
        raise _invalid(
            f"Queue visibility timeout: {visible_s} seconds is less than Function timeout: "
            f"{timeout_s} seconds"
        )
    try:
        role = assume_service_role(settings, config["Role"], "lambda.amazonaws.com", name)
    except RoleUnusable as error:
        raise _invalid(str(error)) from error
    for action in CONSUMES:
        if not allowed(settings, role.access_key, f"sqs:{action}", source):
            raise _invalid(
                f"The provided execution role does not have permissions to call {action} on SQS"
            )


def _invalid(message: str) -> BadRequest:
    return BadRequest("InvalidParameterValueException", message)


def by_message_groups(known: Callable[..., int]) -> Callable[..., int]:
    """Messages of several groups are consumed side by side, as many as the mapping lets (developer
    guide, services-sqs-scaling). MiniStack's batches of several messages can span groups: those it
    rightly runs one after the other."""

    def wrapped(mapping: Record, function: Record, config: Record, queue: Any = None) -> int:
        one_at_a_time = int(mapping.get("BatchSize", 10)) == 1
        return known(mapping, function, config, None if one_at_a_time else queue)

    return wrapped


def run_batch(
    mapping: Record,
    function: Record,
    event: Record,
    batch: Sequence[Record],
    queue_url: str,
    _queue_name: str,
) -> None:
    """Give a function a batch, and delete from the queue what it didn't fail."""
    if is_stopped(mapping["FunctionName"], function, batch):
        result: Record = {"error": True}
    else:
        result = lambda_svc._execute_function(function, event)
    failed = {message["id"] for message in batch} if result.get("error") else set()
    if not failed and "ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or ()):
        failed = reported_failures(result.get("body"), [message["id"] for message in batch])
    done = {message["receipt_handle"] for message in batch if message["id"] not in failed}
    sqs._delete_messages_for_esm(queue_url, done)
    mapping["LastProcessingResult"] = "PROBLEM: Function call failed" if failed else "OK"
    if not done:
        lambda_svc._esm_backoff_until[mapping["UUID"]] = time.time() + PAUSE_S


def reported_failures(answer: Any, ids: Sequence[str]) -> set[str]:
    """The messages that a partial batch answer names; all of them where it isn't one, and none
    where it is empty (developer guide, services-sqs-errorhandling)."""
    try:
        document = json.loads(answer) if isinstance(answer, str) else answer
        items = (document or {}).get("batchItemFailures") or []
        named = {item["itemIdentifier"] for item in items}
    except (ValueError, AttributeError, TypeError, KeyError):
        return set(ids)
    return named if all(isinstance(name, str) and name for name in named) else set(ids)


def check_dead_letters(properties: Mapping[str, Any]) -> None:
    """BadRequest unless a FIFO queue's dead letters go to one of its kind, and a standard one's
    (developer guide, sqs-dead-letter-queues)."""
    policy = properties.get("RedrivePolicy") or {}
    policy = json.loads(policy) if isinstance(policy, str) else policy
    fifo = str(properties.get("FifoQueue", "false")).lower() == "true"
    if policy and str(policy.get("deadLetterTargetArn")).endswith(".fifo") != fifo:
        raise BadRequest(
            "InvalidParameterValue",
            f"Value {json.dumps(policy)} for parameter RedrivePolicy is invalid. Reason: "
            "Dead-letter queue must be same type of queue as the source.",
        )


def with_dead_letters_checked(act: Callable[..., Record]) -> Callable[..., Record]:
    def wrapped(request: Mapping[str, Any], url: str) -> Record:
        name = request.get("QueueName") or request.get("QueueUrl") or url
        try:
            check_dead_letters(
                {**(request.get("Attributes") or {}), "FifoQueue": name.endswith(".fifo")}
            )
        except BadRequest as error:
            raise sqs._Err(error.code, str(error)) from error
        return act(request, url)

    return wrapped
