"""The templates deployed on moto's server, a second emulator that knows nothing of the local cloud:
its CloudFormation takes them, and what it has made is as asked.

What moto can't do stands in moto_gaps.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from tests.infrastructure.moto_gaps import (
    ALTERED,
    ATTRIBUTES,
    BY_API,
    LEFT_OUT,
    NOT_KEPT,
    SENT_AFTERWARDS,
)
from tests.infrastructure.moto_server import moto_server
from tests.infrastructure.moto_stacks import Deployed, deploy, in_order, template_for_moto
from tests.infrastructure.reading_operations import READ_OTHERWISE, Compared, compared
from tests.infrastructure.support import REGION, Synthesized


@pytest.fixture(scope="module")
def deployed(aws: Synthesized) -> Iterator[Deployed]:
    with moto_server(REGION) as moto:
        yield deploy(moto, aws)


@pytest.fixture(scope="module")
def read_at_first(deployed: Deployed) -> list[Compared]:
    """Before anything is sent afterwards."""
    return list(everything_read(deployed))


@pytest.fixture(scope="module")
def read(deployed: Deployed, read_at_first: list[Compared]) -> list[Compared]:
    for made in deployed.resources():
        for request in made.requests:
            if request.operation in SENT_AFTERWARDS:
                deployed.send(request)
    assert read_at_first
    return list(everything_read(deployed))


def everything_read(deployed: Deployed) -> Iterator[Compared]:
    for made in deployed.resources():
        for request in made.requests:
            if request.operation not in READ_OTHERWISE:
                yield from compared(request, made.ref, deployed.moto.client(request.service))


def kinds(app: Synthesized) -> set[str]:
    return {
        resource["Type"]
        for template in app.templates.values()
        for resource in template["Resources"].values()
    }


def test_every_stack_completes(deployed: Deployed) -> None:
    assert deployed.status == dict.fromkeys(deployed.app.templates, "CREATE_COMPLETE")


def test_every_output_has_a_value(deployed: Deployed) -> None:
    for stack, template in deployed.app.templates.items():
        assert deployed.outputs[stack].keys() == template.get("Outputs", {}).keys()
        assert all(value and "None" not in value for value in deployed.outputs[stack].values())


def test_cloudformation_makes_every_resource_but_the_named_types(deployed: Deployed) -> None:
    passed_over = {
        resource["Type"]
        for stack, template in deployed.app.templates.items()
        for logical_id, resource in template["Resources"].items()
        if (stack, logical_id) not in deployed.by_cloudformation
    }
    made = {
        deployed.app.templates[stack]["Resources"][logical_id]["Type"]
        for stack, logical_id in deployed.by_cloudformation
    }
    assert passed_over == {*BY_API, *LEFT_OUT} & kinds(deployed.app)
    assert not made & passed_over


def test_what_is_made_is_as_asked_but_for_the_named_members(read: list[Compared]) -> None:
    differing = {(each.operation, each.path): each for each in read if not each.equal}
    asked = {(each.operation, each.path) for each in read}
    unnamed = [each for place, each in differing.items() if place not in NOT_KEPT]
    assert unnamed == []
    assert NOT_KEPT.keys() & asked == differing.keys(), "a gap has closed: take it from the table"


def test_what_is_sent_afterwards_was_not_there_before(read_at_first: list[Compared]) -> None:
    sent = [each for each in read_at_first if each.operation in SENT_AFTERWARDS]
    assert [each for each in sent if each.equal] == []


@pytest.mark.parametrize(("kind", "path"), list(ALTERED))
def test_moto_refuses_unaltered(deployed: Deployed, kind: str, path: str) -> None:
    stack, logical_id = next(
        (stack, logical_id)
        for stack, template in deployed.app.templates.items()
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == kind
    )
    properties = deployed.values.properties(stack, logical_id)
    assert path.split("/")[0] in properties or ALTERED[kind, path][0] is None
    body = json.dumps({"Resources": {"Probe": {"Type": kind, "Properties": properties}}})
    with pytest.raises(ClientError, match="satisfy"):
        deployed.moto.client("cloudformation").create_stack(
            StackName=f"Probe{logical_id}", TemplateBody=body
        )


def test_no_gap_is_named_for_nothing(deployed: Deployed, read: list[Compared]) -> None:
    """What no template asks for any more goes from moto_gaps.py."""
    there = kinds(deployed.app)
    types = {*BY_API, *LEFT_OUT, *(kind for kind, _ in [*ALTERED, *ATTRIBUTES])}
    assert types - there == set()
    assert set(SENT_AFTERWARDS) - {each.operation for each in read} == set()
    assert NOT_KEPT.keys() - {(each.operation, each.path) for each in read} == set()


def test_functions_may_be_invoked_by_what_asks_to(deployed: Deployed) -> None:
    permissions = [
        request.value
        for made in deployed.resources()
        for request in made.requests
        if request.operation == "AddPermission"
    ]
    assert permissions
    functions = deployed.moto.client("lambda")
    authorizer = re.compile(r"(?<=/authorizers/)\w+")  # made later, see NOT_KEPT
    for asked in permissions:
        policy = functions.get_policy(FunctionName=asked["FunctionName"])["Policy"]
        allowed = [
            (each["Action"], each["Principal"]["Service"], each["Condition"]["ArnLike"])
            for each in json.loads(authorizer.sub("id", policy))["Statement"]
        ]
        source = {"AWS:SourceArn": authorizer.sub("id", asked["SourceArn"])}
        assert (asked["Action"], asked["Principal"], source) in allowed


# --- that these would find a fault ---------------------------------------------------------------


def test_a_value_that_is_not_as_asked_is_found(deployed: Deployed) -> None:
    made = next(each for each in deployed.resources() if each.kind == "AWS::Lambda::Function")
    (request,) = made.requests
    asked = replace(request, value={**request.value, "MemorySize": 4096})
    client = deployed.moto.client("lambda")
    (memory,) = (each for each in compared(asked, made.ref, client) if each.path == "MemorySize")
    assert not memory.equal
    assert (memory.asked, memory.read) == (4096, request.value["MemorySize"])


def test_a_resource_that_is_not_there_is_found(deployed: Deployed) -> None:
    made = next(each for each in deployed.resources() if each.kind == "AWS::Logs::LogGroup")
    request = next(each for each in made.requests if each.operation == "PutRetentionPolicy")
    asked = replace(request, value={**request.value, "logGroupName": "another"})
    (retention,) = compared(asked, made.ref, deployed.moto.client("logs"))
    assert retention.read is None


def test_an_import_that_nobody_exports_is_refused(deployed: Deployed) -> None:
    stack = in_order(deployed.app.dependencies)[-1]
    body = json.dumps(template_for_moto(deployed, stack))
    faulty = body.replace('{"Fn::ImportValue": "', '{"Fn::ImportValue": "Not')
    assert faulty != body
    with pytest.raises(ClientError, match="No export named Not"):
        deployed.moto.client("cloudformation").create_stack(StackName="Faulty", TemplateBody=faulty)


def test_stacks_come_after_what_they_depend_on() -> None:
    assert in_order({"a": {"c"}, "b": set(), "c": {"b"}}) == ["b", "c", "a"]
