"""The templates deployed on moto's server, a second emulator that knows nothing of the local cloud:
its CloudFormation takes them, and its APIs the rest.

What moto can't do stands in moto_gaps.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.infrastructure.moto_gaps import ALTERED, BY_API, LEFT_OUT
from tests.infrastructure.moto_server import moto_server
from tests.infrastructure.moto_stacks import Deployed, deploy, in_order, template_for_moto
from tests.infrastructure.support import REGION, Synthesized


@pytest.fixture(scope="module")
def deployed(aws: Synthesized) -> Iterator[Deployed]:
    with moto_server(REGION) as moto:
        yield deploy(moto, aws)


def test_every_stack_completes_and_its_outputs_have_values(deployed: Deployed) -> None:
    assert deployed.status == dict.fromkeys(deployed.app.templates, "CREATE_COMPLETE")
    for stack, template in deployed.app.templates.items():
        assert deployed.outputs[stack].keys() == template.get("Outputs", {}).keys()
        assert all(value and "None" not in value for value in deployed.outputs[stack].values())


def test_cloudformation_makes_every_resource_but_the_named_types(deployed: Deployed) -> None:
    kinds: dict[bool, set[str]] = {True: set(), False: set()}
    for stack, template in deployed.app.templates.items():
        for logical_id, resource in template["Resources"].items():
            made = (stack, logical_id) in deployed.by_cloudformation
            kinds[made].add(resource["Type"])
    assert kinds[False] == {*BY_API, *LEFT_OUT}
    assert not kinds[True] & kinds[False]


@pytest.mark.parametrize(("kind", "path"), list(ALTERED))
def test_moto_refuses_unaltered(deployed: Deployed, kind: str, path: str) -> None:
    stack, logical_id = next(
        (stack, logical_id)
        for stack in deployed.app.templates
        for logical_id in deployed.app.resources(stack, kind, ALTERED[kind, path][2])
    )
    properties = deployed.values.properties(stack, logical_id)
    assert path.split("/")[0] in properties or ALTERED[kind, path][0] is None
    body = json.dumps({"Resources": {"Probe": {"Type": kind, "Properties": properties}}})
    with pytest.raises(ClientError, match=r"satisfy|must end in"):
        deployed.moto.client("cloudformation").create_stack(
            StackName=f"Probe{logical_id}", TemplateBody=body
        )


def test_an_import_that_nobody_exports_is_refused(deployed: Deployed) -> None:
    stack = in_order(deployed.app.dependencies)[-1]
    body = json.dumps(template_for_moto(deployed, stack))
    faulty = body.replace('{"Fn::ImportValue": "', '{"Fn::ImportValue": "Not')
    assert faulty != body
    with pytest.raises(ClientError, match="No export named Not"):
        deployed.moto.client("cloudformation").create_stack(StackName="Faulty", TemplateBody=faulty)
