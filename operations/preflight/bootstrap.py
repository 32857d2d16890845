"""What `cdk bootstrap` has made, of the version that the stacks ask for."""

from collections.abc import Iterator, Mapping
from typing import Any

from operations.account import answer_or_none
from operations.preflight.finding import Finding, fails, ok

SUBJECT = "cdk bootstrap"


def bootstrap(ssm: Any, account: str, region: str, wanted: Mapping[str, int]) -> Iterator[Finding]:
    """`wanted`: the least version by the parameter that says it."""
    command = f"npx cdk bootstrap aws://{account}/{region}"
    for parameter, least in wanted.items():
        version = _version(ssm, parameter)
        if version is None:
            yield fails(SUBJECT, f"never run here ({parameter} is missing)", command)
        elif version < least:
            yield fails(SUBJECT, f"version {version}, at least {least} is needed", command)
        else:
            yield ok(SUBJECT, f"version {version}, at least {least} is needed")


def _version(ssm: Any, parameter: str) -> int | None:
    answer = answer_or_none(lambda: ssm.get_parameter(Name=parameter))
    return int(answer["Parameter"]["Value"]) if answer else None
