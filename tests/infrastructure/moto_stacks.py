"""Deploys an app's templates to moto, by CloudFormation and, where that has gaps, by the APIs."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from botocore import xform_name

from tests.infrastructure.botocore_shapes import requests_for
from tests.infrastructure.moto_gaps import ALTERED, BY_API, LEFT_OUT
from tests.infrastructure.moto_server import Moto, bootstrap
from tests.infrastructure.physical_values import IDENTITIES, PhysicalValues
from tests.infrastructure.support import Synthesized


@dataclass
class Deployed:
    """`known` are moto's ids, as `PhysicalValues` takes them; the rest is by stack."""

    moto: Moto
    app: Synthesized
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    by_cloudformation: set[tuple[str, str]] = field(default_factory=set)
    status: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def values(self) -> PhysicalValues:
        return PhysicalValues(self.app.templates, self.moto.region, self.known)


def deploy(moto: Moto, app: Synthesized) -> Deployed:
    """Raises botocore's ClientError with moto's first objection."""
    bootstrap(moto, app.folder)
    deployed = Deployed(moto, app)
    for stack in in_order(app.dependencies):
        _create_stack(deployed, stack)
    for kind in BY_API:
        for stack in app.templates:
            for logical_id in app.resources(stack, kind):
                _make_by_api(deployed, stack, logical_id, kind)
    return deployed


def in_order(dependencies: dict[str, set[str]]) -> list[str]:
    """What a stack depends on comes before it."""
    return list(TopologicalSorter(dependencies).static_order())


def _make_by_api(deployed: Deployed, stack: str, logical_id: str, kind: str) -> None:
    values = deployed.values
    name = values.name(stack, logical_id) if kind in IDENTITIES else ""
    for request in requests_for(kind, values.properties(stack, logical_id), name):
        if request.operation:
            client = deployed.moto.client(request.service)
            answer = getattr(client, xform_name(request.operation))(**request.value)
            if "id" in answer:
                deployed.known[stack, logical_id] = answer["id"]


def _create_stack(deployed: Deployed, stack: str) -> None:
    moto = deployed.moto
    cloudformation = moto.client("cloudformation")
    template = template_for_moto(deployed, stack)
    stack_id = cloudformation.create_stack(
        StackName=stack, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )["StackId"]
    deployed.known[stack, "AWS::StackId"] = stack_id
    for logical_id, resource in template["Resources"].items():
        if resource["Type"].startswith("Custom::"):
            moto.send(
                "PUT",
                f"/cloudformation_{moto.region}/cfnresponse?stack={stack_id}",
                {
                    "Status": "SUCCESS",
                    "StackId": stack_id,
                    "LogicalResourceId": logical_id,
                    "Data": {},
                },
            )
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    deployed.status[stack] = described["StackStatus"]
    deployed.outputs[stack] = {
        output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", ())
    }
    for resource in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]:
        # It lists what it has passed over, without an id.
        if "LogicalResourceId" in resource:
            place = stack, resource["LogicalResourceId"]
            deployed.by_cloudformation.add(place)
            if "PhysicalResourceId" in resource:
                deployed.known[place] = resource["PhysicalResourceId"]
    for logical_id in deployed.app.resources(stack, "AWS::ApiGateway::Deployment"):
        # Its id isn't in CloudFormation's answers.
        api_id = deployed.values.properties(stack, logical_id)["RestApiId"]
        (found,) = moto.client("apigateway").get_deployments(restApiId=api_id)["items"]
        deployed.known[stack, logical_id] = found["id"]


def template_for_moto(deployed: Deployed, stack: str) -> dict[str, Any]:
    """The template with what moto_gaps.py says, and what refers to a gap filled in."""
    resources = deployed.app.templates[stack]["Resources"]

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            target = argument[0] if function == "Fn::GetAtt" else argument
            if function in ("Ref", "Fn::GetAtt") and target in resources:
                kind = resources[target]["Type"]
                if kind in BY_API or kind in LEFT_OUT or kind.startswith("Custom::"):
                    return instead_of(value, target, kind)
        return {name: filled(item) for name, item in value.items()}

    def instead_of(value: dict[str, Any], target: str, kind: str) -> Any:
        """A value; where the template says how the gap is called, that in the value's form."""
        named_by = IDENTITIES[kind].named_by if kind in IDENTITIES else ""
        given = resources[target].get("Properties", {}).get(named_by)
        text = deployed.values.fill(stack, value)
        if given is None:
            return text
        before, _, after = text.partition(deployed.values.name(stack, target))
        return {"Fn::Join": ["", [before, filled(given), after]]}

    template: dict[str, Any] = filled(copy.deepcopy(deployed.app.templates[stack]))
    for (kind, path), (instead, _, only) in ALTERED.items():
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] == kind and only.items() <= resource["Properties"].items():
                *outer, last = path.split("/")
                place = resource["Properties"]
                for name in outer:
                    place = place[int(name) if name.isdigit() else name]
                place[last] = instead or deployed.values.name(stack, logical_id)
    return template
