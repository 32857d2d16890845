"""What the gateway says in the front door's place, in the API's error form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway

from sd_contract.cors import EXPOSED_HEADERS
from stacks.settings import ApiSettings


@dataclass(frozen=True)
class Refusal:
    """`message` None leaves the gateway its own words. `final` tells OpenAI's clients not to send
    the request again: it would fail as well, or be paid for twice."""

    type: str
    code: str
    message: str | None = None
    status: int | None = None
    retry_after_s: int | None = None
    final: bool = False

    def body(self) -> str:
        # messageString is the gateway's own message, quoted already.
        message = "$context.error.messageString"
        if self.message is not None:
            message = json.dumps(self.message)
        rest = json.dumps({"type": self.type, "param": None, "code": self.code})[1:]
        return f'{{"error": {{"message": {message}, {rest}}}'

    def headers(self) -> dict[str, str]:
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.final:
            headers["x-should-retry"] = "false"
        return headers


# docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
# Types and codes are the front door's own (lambda/front_door/api_gateway.py) where it has them.
_SERVER = "Something went wrong on our side; quote x-request-id."
# Not final: the authorizer comes before anything that costs.
_UNASKED = Refusal("server_error", "internal_error", _SERVER, 500)
_FAILED = Refusal("server_error", "internal_error", _SERVER, final=True)
_ALWAYS = {
    "DEFAULT_4_XX": Refusal("invalid_request_error", "bad_request"),
    "DEFAULT_5_XX": _FAILED,
    "INTEGRATION_FAILURE": Refusal("server_error", "internal_error", _SERVER, 500, final=True),
    "INTEGRATION_TIMEOUT": Refusal(
        "server_error",
        "timeout",
        "The model did not answer in time; ask for fewer images or steps, or try again.",
        504,
        final=True,
    ),
    # What the gateway calls a method it doesn't have: ANY is the seven usual ones.
    "MISSING_AUTHENTICATION_TOKEN": Refusal(
        "invalid_request_error", "not_found", "The API has no such method and path.", 404
    ),
    "REQUEST_TOO_LARGE": Refusal(
        "invalid_request_error", "body_too_large", "The request body is too large.", 413
    ),
    "THROTTLED": Refusal(
        "rate_limit_error", "rate_limited", "Too many requests; try again shortly.", 429, 1
    ),
    "QUOTA_EXCEEDED": Refusal(
        "rate_limit_error",
        "quota_exceeded",
        "The key's requests of the day are used up.",
        429,
        3600,
        final=True,
    ),
}


def _unauthenticated(message: str, code: str = "invalid_token") -> Refusal:
    return Refusal("authentication_error", code, message, 401)


_NO_KEY = _unauthenticated(
    "No valid API key: send it as 'Authorization: Bearer <key>' or as 'x-api-key: <key>'.",
    "invalid_api_key",
)
_NO_KEY_IN_HEADER = _unauthenticated(
    "The x-api-key header is missing or holds no valid key.", "invalid_api_key"
)
_NOT_ALLOWED = Refusal("permission_error", "access_denied", "The caller may not use this API.", 403)
_BY_AUTHORIZATION = {
    "keys": {
        "INVALID_API_KEY": _NO_KEY,
        # The authorizer's answer to a request without any.
        "ACCESS_DENIED": _NO_KEY,
        "AUTHORIZER_FAILURE": _UNASKED,
        "AUTHORIZER_CONFIGURATION_ERROR": _UNASKED,
    },
    "iam": {
        "INVALID_API_KEY": _NO_KEY_IN_HEADER,
        "MISSING_AUTHENTICATION_TOKEN": _unauthenticated(
            "The request is not signed: use AWS Signature Version 4 for execute-api."
        ),
        "INVALID_SIGNATURE": _unauthenticated("The request's signature is not valid."),
        "EXPIRED_TOKEN": _unauthenticated("The request's signature or session has expired."),
        "ACCESS_DENIED": _NOT_ALLOWED,
    },
    "cognito": {
        "INVALID_API_KEY": _NO_KEY_IN_HEADER,
        "UNAUTHORIZED": _unauthenticated(
            "The Authorization header holds no valid token of the user pool."
        ),
        "EXPIRED_TOKEN": _unauthenticated("The token in the Authorization header has expired."),
        "ACCESS_DENIED": _NOT_ALLOWED,
    },
}
_BLOCKED = Refusal(
    "permission_error", "request_blocked", "The web application firewall blocks this request.", 403
)


def refusals(settings: ApiSettings) -> Mapping[str, Refusal]:
    """By the name of CDK's ResponseType."""
    by_waf = {"WAF_FILTERED": _BLOCKED} if settings.waf else {}
    return {**_ALWAYS, **_BY_AUTHORIZATION[settings.authorization], **by_waf}


def add_refusals(api: apigateway.RestApi, settings: ApiSettings) -> None:
    everywhere = {"x-request-id": "context.requestId", **_static(cors_headers(settings))}
    for name, refusal in refusals(settings).items():
        api.add_gateway_response(
            name.replace("_", " ").title().replace(" ", ""),
            type=getattr(apigateway.ResponseType, name),
            status_code=str(refusal.status) if refusal.status else None,
            response_headers={**everywhere, **_static(refusal.headers())},
            templates={"application/json": refusal.body()},
        )


def cors_headers(settings: ApiSettings) -> dict[str, str]:
    """Of every refusal. They can't depend on the caller's origin, and tell nothing of anyone."""
    if not (origins := settings.cors_origins):
        return {}
    return {
        "Access-Control-Allow-Origin": origins[0] if len(origins) == 1 else "*",
        "Access-Control-Expose-Headers": ",".join(EXPOSED_HEADERS),
    }


def _static(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: f"'{value}'" for name, value in headers.items()}
