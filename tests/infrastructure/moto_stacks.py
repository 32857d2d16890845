"""Deploys an app's templates to moto, by CloudFormation and, where that has gaps, by the APIs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name

from tests.infrastructure.botocore_shapes import Request, requests_for
from tests.infrastructure.moto_gaps import ALTERED, ATTRIBUTES, BY_API, LEFT_OUT
from tests.infrastructure.moto_server import Moto, bootstrap
from tests.infrastructure.physical_values import ACCOUNT, IDENTITIES, PhysicalValues
from tests.infrastructure.support import Synthesized


@dataclass(frozen=True)
class Made:
    """A resource, and the requests that made it or should have. `ref` is what Ref gives."""

    stack: str
    logical_id: str
    kind: str
    ref: str
    requests: list[Request]


@dataclass
class Deployed:
    moto: Moto
    app: Synthesized
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    by_cloudformation: set[tuple[str, str]] = field(default_factory=set)
    status: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def values(self) -> PhysicalValues:
        return PhysicalValues(self.app.templates, self.moto.region, self.known)

    def resources(self) -> Iterator[Made]:
        """All that an API makes; ids are moto's."""
        for stack, template in self.app.templates.items():
            for logical_id, resource in template["Resources"].items():
                if resource["Type"] not in LEFT_OUT and not resource["Type"].startswith("Custom::"):
                    yield self.resource(stack, logical_id)

    def resource(self, stack: str, logical_id: str) -> Made:
        kind = self.app.templates[stack]["Resources"][logical_id]["Type"]
        values = self.values
        identified = kind in IDENTITIES
        name = values.name(stack, logical_id) if identified else ""
        ref = values.fill(stack, {"Ref": logical_id}) if identified else ""
        requests = requests_for(kind, values.properties(stack, logical_id), name)
        return Made(
            stack, logical_id, kind, ref, [request for request in requests if request.operation]
        )

    def send(self, request: Request) -> dict[str, Any]:
        client = self.moto.client(request.service)
        answer: dict[str, Any] = getattr(client, xform_name(request.operation))(**request.value)
        return answer


def deploy(moto: Moto, app: Synthesized) -> Deployed:
    """Raises botocore's ClientError with moto's first objection."""
    bootstrap(moto, app.folder)
    deployed = Deployed(moto, app)
    for stack in in_order(app.dependencies):
        _create_stack(deployed, stack)
    for kind in BY_API:
        for made in list(deployed.resources()):
            if made.kind == kind:
                for request in made.requests:
                    answer = deployed.send(request)
                    if "id" in answer:
                        deployed.known[made.stack, made.logical_id] = answer["id"]
    return deployed


def in_order(dependencies: dict[str, set[str]]) -> list[str]:
    """What a stack depends on comes before it."""
    order: dict[str, None] = {}

    def visit(stack: str) -> None:
        for other in sorted(dependencies[stack]):
            visit(other)
        order[stack] = None

    for stack in sorted(dependencies):
        visit(stack)
    return list(order)


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
    for logical_id in template["Resources"]:
        _learn_the_rest(deployed, stack, logical_id)


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
    for (kind, path), (instead, _) in ALTERED.items():
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] == kind:
                *outer, last = path.split("/")
                place = resource["Properties"]
                for name in outer:
                    place = place[int(name) if name.isdigit() else name]
                place[last] = instead or deployed.values.name(stack, logical_id)
    return template


def _learn_the_rest(deployed: Deployed, stack: str, logical_id: str) -> None:
    """Ids that CloudFormation's answers don't have, and attributes."""
    place = stack, logical_id
    kind = deployed.app.templates[stack]["Resources"][logical_id]["Type"]
    gateway = deployed.moto.client("apigateway")
    if kind == "AWS::ApiGateway::Deployment":
        api_id = deployed.values.properties(stack, logical_id)["RestApiId"]
        (found,) = gateway.get_deployments(restApiId=api_id)["items"]
        deployed.known[place] = found["id"]
    if kind == "AWS::ApiGateway::RestApi":
        (root,) = (
            resource["id"]
            for resource in gateway.get_resources(restApiId=deployed.known[place])["items"]
            if resource["path"] == "/"
        )
        deployed.known[stack, f"{logical_id}.RootResourceId"] = root
    for (type_, attribute), (form, _) in ATTRIBUTES.items():
        if type_ == kind:
            deployed.known[stack, f"{logical_id}.{attribute}"] = form.format(
                region=deployed.moto.region, account=ACCOUNT, name=deployed.known[place]
            )
