"""EC2's answers on what a region has, where MiniStack has none, or says yes to everything."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import ec2

from local_cloud.ministack.answers import Response
from local_cloud.settings import CloudSettings


def install_offerings(settings: CloudSettings, instance_types: Collection[str]) -> None:
    """DescribeInstanceTypeOfferings, of the region's `instance_types` (EC2's, "g5.xlarge"); those
    that the fault `no-instance-type` names there are none of. The fault `region-disabled` names a
    region that the account hasn't opted in to."""

    def offerings(parameters: Mapping[str, Any]) -> Response:
        missing = (settings.fault("no-instance-type") or "").split()
        wanted = _filter(parameters, "instance-type")
        items = "".join(
            f"<item><instanceType>{escape(name)}</instanceType>"
            "<locationType>region</locationType>"
            f"<location>{settings.region}</location></item>"
            for name in sorted(instance_types)
            if name not in missing and (wanted is None or name in wanted)
        )
        return _answer("DescribeInstanceTypeOfferings", f"<instanceTypeOfferingSet>{items}"
                       "</instanceTypeOfferingSet>")  # fmt: skip

    described = ec2._ACTION_MAP["DescribeRegions"]

    def regions(parameters: Mapping[str, Any]) -> Response:
        off = settings.fault("region-disabled")
        known = ec2._AWS_REGIONS
        ec2._AWS_REGIONS = [
            (name, "not-opted-in" if name == off else status) for name, status in known
        ]
        try:
            answer: Response = described(parameters)
        finally:
            ec2._AWS_REGIONS = known
        return answer

    ec2._ACTION_MAP |= {"DescribeInstanceTypeOfferings": offerings, "DescribeRegions": regions}


def _filter(parameters: Mapping[str, Any], name: str) -> set[str] | None:
    """The values of the one filter there is; None without it."""
    if ec2._p(parameters, "Filter.1.Name") != name:
        return None
    values = (key for key in parameters if key.startswith("Filter.1.Value."))
    return {ec2._p(parameters, key) for key in values}


def _answer(operation: str, inner: str) -> Response:
    response: Response = ec2._xml(200, f"{operation}Response", inner)
    return response
