"""Entry point: API Gateway's question of a request (a REQUEST authorizer's).

Whether the key is one of the usage plan's, the gateway finds out itself (`apiKeySource:
AUTHORIZER`), so this knows no key and may do nothing but log. It imports no SDK: that would be most
of a cold start.
"""

from collections.abc import Mapping
from typing import Any


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """In and out: docs.aws.amazon.com/apigateway/latest/developerguide,
    api-gateway-lambda-authorizer-input and -output. A request without a key is denied."""
    key = key_of(event.get("headers") or {})
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if key else "Deny",
        "Resource": event["methodArn"],
    }
    answer = {
        "principalId": "caller",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }
    return {**answer, "usageIdentifierKey": key} if key else answer


def key_of(headers: Mapping[str, str]) -> str:
    """What x-api-key holds, else what follows "Bearer" in Authorization, else ""."""
    given = {name.lower(): value.strip() for name, value in headers.items()}
    scheme, _, token = given.get("authorization", "").partition(" ")
    return given.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
