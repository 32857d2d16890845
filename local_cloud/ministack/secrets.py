"""Secrets Manager's resource type where MiniStack's does other than AWS's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import secretsmanager
from ministack.services.cloudformation import provisioners

Properties = Mapping[str, Any]


def correct_secrets() -> None:
    """Ref gives a secret's ARN, by which policies and ECS name it (template reference, return
    values); MiniStack's gives its name."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create, update, delete = (handlers[verb] for verb in ("create", "update", "delete"))

    def created(*arguments: Any) -> tuple[str, dict[str, str]]:
        _, attributes = create(*arguments)
        return attributes["Arn"], attributes

    def updated(arn: str, *arguments: Any, **named: Any) -> tuple[str, dict[str, str]]:
        _, attributes = update(_name(arn), *arguments, **named)
        return attributes["Arn"], attributes

    handlers["create"], handlers["update"] = created, updated
    handlers["delete"] = lambda arn, props: delete(_name(arn), props)


def _name(arn: str) -> str:
    """Of the secret; the ARN itself where there is none any more."""
    secrets = secretsmanager._secrets
    return next((name for name in secrets if secrets[name]["ARN"] == arn), arn)
