"""API Gateway's REST APIs where MiniStack's do other than AWS's and the app would notice.

MiniStack's steps don't hand each other all of a request: a context variable follows it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core.iam_evaluator import AuthError
from ministack.services import apigateway_v1
from ministack.services.cloudformation import provisioners

from local_cloud.ministack.answers import Response
from local_cloud.ministack.function_policies import may_invoke
from local_cloud.ministack.response_overrides import overridden_headers
from local_cloud.settings import CloudSettings
from sd_contract.limits import LAMBDA_BYTES

Step = Callable[..., Awaitable[Any]]
# Of a response; its own message says so: "exceeded maximum allowed payload size (6291556 bytes)".
ANSWER_BYTES = LAMBDA_BYTES + 100
# How an authorizer's key passes MiniStack's cache: by its context.
_KEY = "usageIdentifierKey"
_DENIED = "AccessDeniedException"


@dataclass
class _Followed:
    """`caller` is the part of an ARN of execute-api that says what calls a function."""

    request: Mapping[str, Any]
    caller: str
    key_value: str = ""
    key: Mapping[str, Any] | None = None


_FOLLOWED: ContextVar[_Followed] = ContextVar("followed")


def correct_api_gateway(settings: CloudSettings) -> None:
    """Apply all corrections. Once, before anything is served."""
    gateway = apigateway_v1
    gateway._execute_in_scope = following(gateway._execute_in_scope)
    gateway._invoke_authorizer_lambda = asking_for_a_key(
        settings, gateway._invoke_authorizer_lambda
    )
    gateway._authorize_request_v1 = noting_the_key(gateway._authorize_request_v1)
    gateway._get_usage_plans = of_the_key(gateway._get_usage_plans)
    gateway._update_api_key = turning_keys_off(gateway._update_api_key)
    gateway._check_api_key = with_the_source_s_key(gateway._check_api_key)
    gateway._build_lambda_event_v1 = with_the_caller_s_key(gateway._build_lambda_event_v1)
    gateway._call_lambda_raw = if_allowed(settings, within_size(gateway._call_lambda_raw))
    gateway._lambda_proxy_response = saying_nothing(gateway._lambda_proxy_response)
    gateway._invoke_mock_v1 = with_overrides(gateway._invoke_mock_v1)
    gateway._AUTHENTICATION_GATEWAY_ERRORS[_DENIED] = ("ACCESS_DENIED", _DENIED)
    app._enforce_execute_api = in_the_api_s_form(app._enforce_execute_api)
    apis = provisioners._RESOURCE_HANDLERS["AWS::ApiGateway::RestApi"]
    apis["create"] = keeping_the_key_source(apis["create"])


def following(execute: Step) -> Step:
    async def wrapped(
        request: Mapping[str, Any], api: str, stage: str, method: str, path: str, *rest: Any
    ) -> Any:
        token = _FOLLOWED.set(_Followed(request, f"{api}/{stage}/{method}{path}"))
        try:
            return await execute(request, api, stage, method, path, *rest)
        finally:
            _FOLLOWED.reset(token)

    return wrapped


def asking_for_a_key(settings: CloudSettings, invoke: Step) -> Step:
    """MiniStack drops the key from the answer. Without a permission it asks nobody."""

    async def wrapped(authorizer: Mapping[str, Any], event: Any, *place: str) -> Any:
        api = _FOLLOWED.get().request["api_id"]
        function = apigateway_v1._extract_lambda_ref_from_integration_uri(
            authorizer["authorizerUri"]
        )
        caller = settings.arn("execute-api", f"{api}/authorizers/{authorizer['id']}")
        if not may_invoke(settings, function, "apigateway.amazonaws.com", caller):
            return None  # as where there is no such function
        result = await invoke(authorizer, event, *place)
        answer = (result or {}).get("body")
        if isinstance(answer, str | bytes):
            answer = json.loads(answer)
        if not isinstance(answer, dict) or _KEY not in answer:
            return result
        context = {**(answer.get("context") or {}), _KEY: answer[_KEY]}
        return {**result, "body": {**answer, "context": context}}

    return wrapped


def noting_the_key(authorize: Step) -> Step:
    async def wrapped(*arguments: Any) -> Any:
        error, context = await authorize(*arguments)
        if context and _KEY in context:
            _FOLLOWED.get().key_value = context[_KEY]
            context = {name: value for name, value in context.items() if name != _KEY}
        return error, context

    return wrapped


def turning_keys_off(update: Callable[[str, Any], Response]) -> Callable[[str, Any], Response]:
    """A patch's value is text, and MiniStack takes any for true."""

    def wrapped(key_id: str, data: Any) -> Response:
        answer = update(key_id, data)
        if key := apigateway_v1._api_keys.get(key_id):
            key["enabled"] = key["enabled"] in (True, "true")
        return answer

    return wrapped


def of_the_key(every: Callable[[Any], Response]) -> Callable[[Any], Response]:
    """The plans of a `keyId`, which MiniStack passes over."""

    def wrapped(query: Any) -> Response:
        key_id = apigateway_v1._qp(query, "keyId")
        if not key_id:
            return every(query)
        plans = apigateway_v1._usage_plans
        its = [
            plans[plan] for plan, keys in apigateway_v1._usage_plan_keys.items() if key_id in keys
        ]
        answer: Response = apigateway_v1._v1_paginated_response(its, query)
        return answer

    return wrapped


def with_the_source_s_key(check: Callable[..., Any]) -> Callable[..., Any]:
    """Where the API's source of keys is the authorizer, what it has given counts, and no header."""

    def wrapped(method: Any, api: str, stage: str, headers: Mapping[str, str]) -> Any:
        followed = _FOLLOWED.get()
        if apigateway_v1._rest_apis[api].get("apiKeySource") == "AUTHORIZER":
            headers = {"x-api-key": followed.key_value}
        error, followed.key = check(method, api, stage, headers)
        return error, followed.key

    return wrapped


def with_the_caller_s_key(build: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The function's event names the key and the request as the gateway does."""

    def wrapped(*arguments: Any, **more: Any) -> dict[str, Any]:
        event, followed = build(*arguments, **more), _FOLLOWED.get()
        event["requestContext"]["requestId"] = followed.request["request_id"]
        if key := followed.key:
            identity = event["requestContext"]["identity"]
            identity |= {"apiKey": key["value"], "apiKeyId": key["id"]}
        return event

    return wrapped


def if_allowed(settings: CloudSettings, call: Step) -> Step:
    """A function is only invoked where its policy lets this API and path; else a 500."""

    async def wrapped(function: str, event: Any, **place: Any) -> Any:
        caller = settings.arn("execute-api", _FOLLOWED.get().caller)
        if not may_invoke(settings, function, "apigateway.amazonaws.com", caller):
            return None, "no permission"
        return await call(function, event, **place)

    return wrapped


def within_size(call: Step) -> Step:
    """Lambda takes and gives so much; of what is more the gateway tells the refusal, or a 502."""

    async def wrapped(function: str, event: Any, **place: Any) -> Any:
        if len(json.dumps(event)) > LAMBDA_BYTES:
            operation = "for the InvokeFunction operation"
            said = {"Message": f"Request must be smaller than {LAMBDA_BYTES} bytes {operation}"}
            return {"body": {"statusCode": 413, "body": json.dumps(said)}}, None
        result, error = await call(function, event, **place)
        body = (result or {}).get("body")
        if len(body if isinstance(body, str | bytes) else json.dumps(body)) > ANSWER_BYTES:
            return {"error": True, "body": "Function.ResponseSizeTooLarge"}, error
        return result, error

    return wrapped


def saying_nothing(shape: Callable[..., Any]) -> Callable[..., Any]:
    """A function's error reaches its log, and no caller."""

    def wrapped(result: Any) -> Any:
        response, error = shape(result)
        return response, error and "Internal server error"

    return wrapped


def with_overrides(answer: Callable[..., Response]) -> Callable[..., Response]:
    """A mock integration's template may set the answer's headers; MiniStack sends its text."""

    def wrapped(integration: Mapping[str, Any]) -> Response:
        status, headers, body = answer(integration)
        responses = integration.get("integrationResponses") or {}
        templates = (responses.get(str(status)) or {}).get("responseTemplates") or {}
        if not (template := templates.get("application/json")):
            return status, headers, body
        request_headers = _FOLLOWED.get().request["headers"]
        return status, {**headers, **overridden_headers(template, request_headers)}, b""

    return wrapped


def in_the_api_s_form(enforce: Callable[..., Any]) -> Callable[..., Any]:
    """Whom IAM doesn't allow gets the API's own response for it, as who isn't known does."""

    def wrapped(
        api: str, stage: str, method: str, path: str, headers: Any, query: Any, **more: Any
    ) -> Any:
        refused = enforce(api, stage, method, path, headers, query, **more)
        if not refused or apigateway_v1._header_ci(refused[1], "x-amzn-ErrorType") != _DENIED:
            return refused
        error = AuthError(_DENIED, json.loads(refused[2]).get("message", ""))
        respond = apigateway_v1.authentication_error_response
        return respond(api, stage, error, headers, query) or refused

    return wrapped


def keeping_the_key_source(create: Callable[..., Any]) -> Callable[..., Any]:
    """MiniStack takes it from a template that updates an API, not from the one that makes it."""

    def wrapped(logical_id: str, props: Mapping[str, Any], stack: str) -> Any:
        api_id, attributes = create(logical_id, props, stack)
        source = props.get("ApiKeySourceType", "HEADER")
        apigateway_v1._rest_apis[api_id]["apiKeySource"] = source
        return api_id, attributes

    return wrapped
