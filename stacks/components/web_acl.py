"""A web ACL in front of the API: so many requests an address, no body larger than the front door
takes, and AWS's common rules."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.components.gateway_refusals import Refusal, cors_headers
from stacks.settings import ApiSettings

WINDOW_S = 300
# By default 16 KB of a body are looked at, and up to 64 in such steps (RequestBodyAssociated…).
BODY_STEP = 16_384
# The paths' ends: pictures come in there, and many prompts at once.
LARGE_BODIES = ("/images/edits", "/embeddings", "/files", "/batches")
COMMON_RULES_COUNTED = {
    "SizeRestrictions_BODY": "8 KB is less than a prompt may take; the rule above has our size",
    "CrossSiteScripting_BODY": "prompts are free text, shown by nobody as HTML, and the XMP of "
    "a picture is XML (repost.aws/knowledge-center/waf-upload-blocked-files)",
    "GenericLFI_BODY": "a picture's bytes may look like a path (as above); no body names a file",
}
"""Rules of AWSManagedRulesCommonRuleSet that would block good requests, and why."""

_TOO_MANY = Refusal(
    "rate_limit_error",
    "rate_limited",
    "Too many requests from this address; try again in some minutes.",
    429,
    WINDOW_S,
)
_TOO_LARGE = Refusal(
    "invalid_request_error", "body_too_large", "The request body is too large.", 413
)


class WebAcl(Construct):
    """Of the API's one stage."""

    def __init__(
        self, scope: Construct, id: str, *, stage: apigateway.Stage, settings: ApiSettings
    ) -> None:
        super().__init__(scope, id)
        cors = cors_headers(settings)
        seen = -(-settings.max_body_bytes // BODY_STEP) * BODY_STEP
        acl = wafv2.CfnWebACL(
            self,
            "Acl",
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_metric("api"),
            custom_response_bodies={
                refusal.code: wafv2.CfnWebACL.CustomResponseBodyProperty(
                    content_type="APPLICATION_JSON", content=refusal.body()
                )
                for refusal in (_TOO_MANY, _TOO_LARGE)
            },
            association_config=wafv2.CfnWebACL.AssociationConfigProperty(
                request_body={
                    "API_GATEWAY": wafv2.CfnWebACL.RequestBodyAssociatedResourceTypeConfigProperty(
                        default_size_inspection_limit=f"KB_{seen // 1024}"
                    )
                }
            ),
            rules=[
                _rule(0, "rate", _rate(settings.waf_rate), action=_block(_TOO_MANY, cors)),
                _rule(1, "size", _size(settings.max_body_bytes), action=_block(_TOO_LARGE, cors)),
                _rule(
                    2,
                    "common",
                    _common_rules(),
                    # The group's own actions stay.
                    override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
                ),
            ],
        )
        acknowledge(
            acl,
            "Log4j before 2.15, of 2021. Python answers here; the one Java program, the DJL "
            "container's server, is of 2024, and the front door hands it parsed fields alone.",
            "CKV_AWS_192",
        )
        wafv2.CfnWebACLAssociation(
            self, "Association", resource_arn=stage.stage_arn, web_acl_arn=acl.attr_arn
        )


Statement = wafv2.CfnWebACL.StatementProperty


def _rate(rate: int) -> Statement:
    return Statement(
        rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
            aggregate_key_type="IP", evaluation_window_sec=WINDOW_S, limit=rate
        )
    )


def _size(size: int) -> Statement:
    no_change = [wafv2.CfnWebACL.TextTransformationProperty(priority=0, type="NONE")]
    larger = Statement(
        size_constraint_statement=wafv2.CfnWebACL.SizeConstraintStatementProperty(
            field_to_match=wafv2.CfnWebACL.FieldToMatchProperty(
                # What is more than the firewall sees is more than the front door takes.
                body=wafv2.CfnWebACL.BodyProperty(oversize_handling="MATCH")
            ),
            comparison_operator="GT",
            size=size,
            text_transformations=no_change,
        )
    )
    ends = [
        Statement(
            byte_match_statement=wafv2.CfnWebACL.ByteMatchStatementProperty(
                field_to_match=wafv2.CfnWebACL.FieldToMatchProperty(uri_path={}),
                positional_constraint="ENDS_WITH",
                search_string=end,
                text_transformations=no_change,
            )
        )
        for end in LARGE_BODIES
    ]
    others = [
        Statement(not_statement=wafv2.CfnWebACL.NotStatementProperty(statement=end)) for end in ends
    ]
    return Statement(
        and_statement=wafv2.CfnWebACL.AndStatementProperty(statements=[*others, larger])
    )


def _common_rules() -> Statement:
    count = wafv2.CfnWebACL.RuleActionProperty(count={})
    return Statement(
        managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
            vendor_name="AWS",
            name="AWSManagedRulesCommonRuleSet",
            rule_action_overrides=[
                wafv2.CfnWebACL.RuleActionOverrideProperty(name=name, action_to_use=count)
                for name in COMMON_RULES_COUNTED
            ],
        )
    )


def _rule(
    priority: int, name: str, statement: Statement, **action: Any
) -> wafv2.CfnWebACL.RuleProperty:
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        statement=statement,
        visibility_config=_metric(name),
        **action,
    )


def _block(refusal: Refusal, cors: Mapping[str, str]) -> wafv2.CfnWebACL.RuleActionProperty:
    # In place of a gateway response (WAF's guide, customizing-the-response-for-blocked-requests).
    headers = [
        wafv2.CfnWebACL.CustomHTTPHeaderProperty(name=name, value=value)
        for name, value in {**refusal.headers(), **cors}.items()
    ]
    return wafv2.CfnWebACL.RuleActionProperty(
        block=wafv2.CfnWebACL.BlockActionProperty(
            custom_response=wafv2.CfnWebACL.CustomResponseProperty(
                response_code=refusal.status or 403,
                custom_response_body_key=refusal.code,
                response_headers=headers or None,
            )
        )
    )


def _metric(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True,
        metric_name=name,
        # A sample shows the request's headers, the key among them.
        sampled_requests_enabled=False,
    )
