"""Secrets Manager's resource type where MiniStack's does other than AWS's."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from ministack.services import secretsmanager
from ministack.services.cloudformation import provisioners

Properties = Mapping[str, Any]


def correct_secrets() -> None:
    """Ref gives a secret's ARN, by which policies and ECS name it (template reference, return
    values), where MiniStack's gives its name; and a generated one has no punctuation that it isn't
    to have."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create, update, delete = (handlers[verb] for verb in ("create", "update", "delete"))

    def created(logical_id: str, props: Properties, stack: str) -> tuple[str, dict[str, str]]:
        _, attributes = create(logical_id, _without_punctuation(props), stack)
        return attributes["Arn"], attributes

    def updated(
        arn: str, old: Properties, new: Properties, *rest: Any, **named: Any
    ) -> tuple[str, dict[str, str]]:
        before, after = _without_punctuation(old), _without_punctuation(new)
        _, attributes = update(_name(arn), before, after, *rest, **named)
        return attributes["Arn"], attributes

    handlers["create"], handlers["update"] = created, updated
    handlers["delete"] = lambda arn, props: delete(_name(arn), props)


def _without_punctuation(props: Properties) -> dict[str, Any]:
    generated = props.get("GenerateSecretString") or {}
    if str(generated.get("ExcludePunctuation", False)).lower() != "true":
        return dict(props)
    excluded = generated.get("ExcludeCharacters", "") + string.punctuation
    return {**props, "GenerateSecretString": {**generated, "ExcludeCharacters": excluded}}


def _name(arn: str) -> str:
    """Of the secret; the ARN itself where there is none any more."""
    secrets = secretsmanager._secrets
    return next((name for name in secrets if secrets[name]["ARN"] == arn), arn)
