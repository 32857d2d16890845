"""Whether a function's own policy lets a service invoke it."""

from __future__ import annotations

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.services import lambda_svc

from local_cloud.settings import CloudSettings


def may_invoke(settings: CloudSettings, function: str, service: str, source_arn: str) -> bool:
    """`function` and what calls it are ARNs; `service` is "events.amazonaws.com"."""
    record, _, _ = lambda_svc._get_func_record_for_ref_in_scope(function)
    context = EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account="",
        action="lambda:InvokeFunction",
        resource_arn=function,
        region=settings.region,
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": settings.account},
    )
    policy = (record or {}).get("policy")
    return bool(evaluate_resource_policy(policy, context, service=service).decision == "Allow")
