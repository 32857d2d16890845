"""Everything that AWS would say against an app's templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest
from tests.infrastructure.botocore_shapes import requests_for
from tests.infrastructure.physical_values import IDENTITIES, PhysicalValues
from tests.infrastructure.service_limits import (
    limits_exceeded,
    role_policies_exceeded,
    template_limits_exceeded,
)

# CloudFormation's own: no API makes them.
WITHOUT_API = ("AWS::CloudFormation::WaitCondition", "AWS::CloudFormation::WaitConditionHandle")


def problems(templates: Mapping[str, Mapping[str, Any]], region: str) -> Iterator[str]:
    """Each with the resource it is about."""
    values = PhysicalValues(templates, region)
    for stack, template in templates.items():
        yield from template_limits_exceeded(stack, template)
        for logical_id, resource in template["Resources"].items():
            kind = resource["Type"]
            place = f"{stack}/{logical_id} ({kind})"
            properties = values.properties(stack, logical_id)
            name = values.name(stack, logical_id) if kind in IDENTITIES else ""
            for said in limits_exceeded(kind, properties):
                yield f"{place}: {said}"
            if kind in WITHOUT_API or kind.startswith("Custom::"):
                continue
            try:
                for request in requests_for(kind, properties, name):
                    request.check()
            except (BadRequest, ValueError) as error:
                yield f"{place}: {error}"
    yield from role_policies_exceeded(templates, values)
