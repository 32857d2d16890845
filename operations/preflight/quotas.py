"""Service Quotas, held against what a deploy starts."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

from operations.account import answer_or_none
from operations.preflight.finding import Finding, fails, ok, unknown
from operations.preflight.plan import Build, Fleet

# As Service Quotas' console names them.
SAGEMAKER, CODEBUILD = "Amazon SageMaker", "AWS CodeBuild"


class Quotas:
    """An account's values by a quota's name. What was never raised has a default alone, which the
    list of applied values lacks (Service Quotas' API reference, ListServiceQuotas)."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @cached_property
    def sagemaker(self) -> Mapping[str, float]:
        return self._of("sagemaker")

    @cached_property
    def codebuild(self) -> Mapping[str, float]:
        return self._of("codebuild")

    def _of(self, service: str) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
            for page in self._client.get_paginator(operation).paginate(ServiceCode=service):
                found |= {quota["QuotaName"]: quota["Value"] for quota in page["Quotas"]}
        return found


def ask_for(quota: str, service: str, least: float) -> str:
    return (
        f"ask for at least {least:g} of '{quota}' in Service Quotas, {service}: it takes hours to "
        "days, and is for this region alone"
    )


def _not_listed(subject: str, quota: str, service: str) -> Finding:
    advice = f"look for it in the console of Service Quotas, {service}: the type may not be offered"
    return unknown(subject, f"Service Quotas has no '{quota}' in this region", advice)


def in_use(sagemaker: Any) -> Mapping[str, Mapping[str, int]]:
    """Instances of endpoints by their type and endpoint, anybody's. Of an endpoint whose
    configuration was deleted nobody knows the type: it is ""."""
    used: dict[str, Counter[str]] = {}
    for page in sagemaker.get_paginator("list_endpoints").paginate():
        for listed in page["Endpoints"]:
            name = listed["EndpointName"]
            endpoint = answer_or_none(partial(sagemaker.describe_endpoint, EndpointName=name))
            if endpoint is None:  # it has gone meanwhile
                continue
            config = answer_or_none(
                partial(
                    sagemaker.describe_endpoint_config,
                    EndpointConfigName=endpoint["EndpointConfigName"],
                )
            )
            counts = {
                variant["VariantName"]: variant.get("CurrentInstanceCount", 0)
                for variant in endpoint.get("ProductionVariants", ())
            }
            for variant in (config or endpoint).get("ProductionVariants", ()):
                count = counts.get(variant["VariantName"], 0)
                used.setdefault(variant.get("InstanceType", ""), Counter())[name] += count
    return used


def endpoint_quotas(quotas: Quotas, sagemaker: Any, fleets: Iterable[Fleet]) -> Iterator[Finding]:
    """An update starts as many instances as there are beside them (blue/green), if it has to
    replace any."""
    by_type: dict[str, list[Fleet]] = {}
    for fleet in fleets:
        by_type.setdefault(fleet.instance_type, []).append(fleet)
    if not by_type:
        return
    in_account = in_use(sagemaker)
    there = {name for used in in_account.values() for name in used}
    if uncounted := [name for name, count in in_account.get("", {}).items() if count]:
        found = f"the configuration of {', '.join(uncounted)} was deleted, and with it their type"
        yield unknown("quotas of endpoints", found, "count their instances as in use besides")
    for instance_type, wanting in by_type.items():
        quota = f"{instance_type} for endpoint usage"
        if (limit := quotas.sagemaker.get(quota)) is None:
            yield _not_listed(quota, quota, SAGEMAKER)
            continue
        used = in_account.get(instance_type, {})
        free = limit - sum(used.values())
        new = sum(fleet.first for fleet in wanting if fleet.endpoint not in there)
        # One that has another type so far starts anew with this one.
        rolled = sum(used.get(f.endpoint, f.first) for f in wanting if f.endpoint in there)
        found = f"{limit:g}, in use {sum(used.values())}, this deploy starts {new}"
        if new > free:
            advice = ask_for(quota, SAGEMAKER, limit + new - free)
            yield fails(quota, found, advice)
        elif new + rolled > free:
            advice = "an update of model, image or instance rolls beside the old fleet: for one, "
            advice += ask_for(quota, SAGEMAKER, limit + new + rolled - free)
            yield unknown(quota, f"{found}, and {rolled} more if its endpoints roll", advice)
        else:
            ours = {fleet.endpoint for fleet in wanting}
            others = sum(count for name, count in used.items() if name not in ours)
            first, roll = sum(f.first for f in wanting), max(f.first for f in wanting)
            peak = others + max(first + roll, sum(fleet.most for fleet in wanting))
            later = f"; later updates and scaling want {peak}" if peak > limit else ""
            yield ok(quota, found + later)


def job_quotas(quotas: Quotas, jobs: Iterable[tuple[str, str, bool, int]]) -> Iterator[Finding]:
    """`jobs`: what for, instance type, whether spot, how many instances."""
    for purpose, instance_type, spot, wanted in jobs:
        quota = f"{instance_type} for {'spot ' if spot else ''}training job usage"
        subject = f"{quota} ({purpose})"
        limit = quotas.sagemaker.get(quota)
        if limit is None:
            yield _not_listed(subject, quota, SAGEMAKER)
        elif limit < wanted:
            advice = ask_for(quota, SAGEMAKER, wanted)
            yield fails(subject, f"{limit:g}, wanted {wanted}", advice)
        else:
            yield ok(subject, f"{limit:g}, wanted {wanted}")


def build_quotas(quotas: Quotas, builds: Iterable[Build]) -> Iterator[Finding]:
    """With one, a deploy's builds run one after another (build_trigger/quota.py)."""
    for quota, count in Counter(build.quota for build in builds).items():
        limit = quotas.codebuild.get(quota)
        if limit is None:
            yield _not_listed(quota, quota, CODEBUILD)
        elif limit < 1:
            yield fails(quota, f"{limit:g}, builds {count}", ask_for(quota, CODEBUILD, 1))
        else:
            yield ok(quota, f"{limit:g}, builds {count}")
