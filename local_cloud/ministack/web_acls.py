"""AWS::WAFv2::WebACLAssociation for CloudFormation. Of the rules of what it associates, MiniStack
enforces none."""

from __future__ import annotations

import json
import re

from ministack.services import apigateway_v1, waf

from local_cloud.ministack.cloudformation import Properties, Provisioned, ResourceType, register

STAGE = re.compile(r"arn:aws:apigateway:[\w-]+::/restapis/(\w+)/stages/(\w+)")


def register_associations() -> None:
    register(
        ResourceType(
            name="AWS::WAFv2::WebACLAssociation",
            create=_create,
            update=lambda _id, _old, new: _create("", new),
            delete=lambda _id, props: waf._disassociate_web_acl(props),
            replacing=("ResourceArn", "WebACLArn"),
        )
    )


def _create(_name: str, props: Properties) -> Provisioned:
    stage = STAGE.fullmatch(props["ResourceArn"])
    if stage is None or stage[2] not in apigateway_v1._stages_v1.get(stage[1], {}):
        # AWS's own sentence (aws-cloudformation/cloudformation-coverage-roadmap#2358).
        raise ValueError(
            "AWS WAF couldn't perform the operation because your resource doesn't exist."
        )
    status, _, body = waf._associate_web_acl(dict(props))
    if status != 200:
        raise ValueError(json.loads(body)["message"])
    return f"{props['ResourceArn']}|{props['WebACLArn']}", {}
