"""Pictures that were drawn, each with the request that draws it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generator_app.client import Drawn, DrawnPicture, Variant
from generator_app.estimate import cost_usd

NOT_REPEATED = ("n", "response_format", "store")
KEPT = 60
"""Pictures that a session remembers: it has them in memory."""


@dataclass(frozen=True)
class Result:
    """`fields`: a request that draws this picture alone. `seconds`: its share of the instance's
    time, None of a batch's, which are counted together; likewise `usd`."""

    fields: Mapping[str, Any]
    picture: DrawnPicture
    seconds: float | None
    usd: float | None
    warnings: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        return str(self.fields["prompt"])


def of_answer(fields: Mapping[str, Any], drawn: Drawn, variant: Variant) -> list[Result]:
    each = drawn.seconds / len(drawn.pictures)
    asked = {**fields, "model": drawn.model, "size": drawn.size}
    return [
        Result(alone(asked, picture.seed), picture, each, cost_usd(variant, each), drawn.warnings)
        for picture in drawn.pictures
    ]


def of_batch(fields: Mapping[str, Any], pictures: Sequence[DrawnPicture]) -> list[Result]:
    return [Result(alone(fields, each.seed), each, None, None) for each in pictures]


def alone(fields: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The request for one picture of those that `fields` asks for."""
    return {name: value for name, value in fields.items() if name not in NOT_REPEATED} | {
        "seed": seed
    }


def given(**fields: Any) -> dict[str, Any]:
    """The fields of a request without those that were left empty."""
    return {name: value for name, value in fields.items() if value not in (None, "")}
