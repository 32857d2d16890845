"""Service Quotas, as far as it is asked what an account may have: read only.

An account here may have enough of everything. The fault `quotas` says otherwise, by a quota's name:
{"ml.g5.xlarge for endpoint usage": 0}, null for one that Service Quotas doesn't know; so do
`training-quota` and `codebuild-quota`, which make SageMaker and CodeBuild refuse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from local_cloud.api_shapes import BadRequest, check_request
from local_cloud.settings import REPOSITORY, CloudSettings

SERVICE = "service-quotas"
APPLIED, DEFAULTS = "ListServiceQuotas", "ListAWSDefaultServiceQuotas"
ENOUGH = 20.0
# Of these an account has the default alone until it asks for more: "if the applied quota value is
# not available for a quota, the quota is not retrieved" (API reference, ListServiceQuotas).
DEFAULT_ONLY = " for spot training job usage"
USAGES = (" for endpoint usage", " for training job usage", DEFAULT_ONLY)
# docs.aws.amazon.com/codebuild/latest/userguide/limits.html
COMPUTE = ("Small", "Medium", "Large", "2XLarge")
PAGE = 100


def instance_types(region: str) -> list[str]:
    """ "ml.g5.xlarge", …: what the region has for SageMaker, of those that this app may use."""
    document = json.loads((REPOSITORY / "stacks" / "catalogue" / "regions.json").read_text())
    tables = (document[purpose]["regions"].get(region, []) for purpose in ("hosting", "training"))
    return sorted({name for table in tables for name in table})


def limit(settings: CloudSettings, name: str) -> float | None:
    """What a fault gives this account of a quota; None where it has enough."""
    if (written := _written(settings).get(name)) is not None:
        return written
    jobs, builds = settings.fault("training-quota"), settings.fault("codebuild-quota")
    if jobs is not None and name.endswith(" job usage"):
        return float(jobs or 0)
    if builds is not None and name.startswith("Concurrently running builds"):
        return float(builds)
    return None


def exceeded(name: str, limit: float, used: int, wanted: int) -> BadRequest:
    """In SageMaker's words (aws-samples/sagemaker-custom-project-templates#51)."""
    return BadRequest(
        "ResourceLimitExceeded",
        f"The account-level service limit '{name}' is {limit:g} Instances, with current "
        f"utilization of {used} Instances and a request delta of {wanted} Instances. Please use "
        "AWS Service Quotas to request an increase for this quota.",
    )


def _written(settings: CloudSettings) -> dict[str, float | None]:
    found: dict[str, float | None] = json.loads(settings.fault("quotas") or "{}")
    return found


class ServiceQuotas:
    """The service's two lists."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self._names = {
            "sagemaker": [t + usage for t in instance_types(settings.region) for usage in USAGES],
            "codebuild": [
                f"Concurrently running builds for Linux/{size} environment" for size in COMPUTE
            ],
        }

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises BadRequest."""
        if operation not in (APPLIED, DEFAULTS):
            unknown = f"The local cloud has no Service Quotas operation {operation}"
            raise BadRequest("UnknownOperationException", unknown)
        check_request(SERVICE, operation, request)
        if beyond := request.keys() - {"ServiceCode", "MaxResults", "NextToken"}:
            raise BadRequest(
                "IllegalArgumentException", f"The local cloud's {operation} knows no {min(beyond)}"
            )
        code = request["ServiceCode"]
        if code not in self._names:
            raise BadRequest("NoSuchResourceException", f"No quotas are known of {code} here")
        values = self._values(code)
        if operation == APPLIED:
            values = {
                name: value
                for name, value in values.items()
                if not name.endswith(DEFAULT_ONLY) or limit(self._settings, name) is not None
            }
        first = int(request.get("NextToken", 0))
        last = first + request.get("MaxResults", PAGE)
        listed = [self._quota(code, name, value) for name, value in [*values.items()][first:last]]
        return {"Quotas": listed, **({"NextToken": str(last)} if last < len(values) else {})}

    def _values(self, code: str) -> dict[str, float]:
        unknown = {name for name, value in _written(self._settings).items() if value is None}
        limits = {name: limit(self._settings, name) for name in self._names[code]}
        return {
            name: ENOUGH if value is None else value
            for name, value in limits.items()
            if name not in unknown
        }

    def _quota(self, code: str, name: str, value: float) -> dict[str, Any]:
        quota = f"L-{sha256(name.encode()).hexdigest()[:8].upper()}"
        return {
            "ServiceCode": code,
            "QuotaArn": self._settings.arn("servicequotas", f"{code}/{quota}"),
            "QuotaCode": quota,
            "QuotaName": name,
            "Value": value,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
