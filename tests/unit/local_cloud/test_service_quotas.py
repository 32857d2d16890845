"""What an account may have and a region has, as AWS answers it."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.local_account import client_of_user, fault
from tests.fakes.toy_endpoint import ToyEndpoint

ENDPOINTS = "ml.g5.xlarge for endpoint usage"
SPOT = "ml.trn1.2xlarge for spot training job usage"


def listed(cloud: ChildCloud, operation: str, service: str) -> dict[str, float]:
    pages = cloud.client("service-quotas").get_paginator(operation).paginate(ServiceCode=service)
    return {quota["QuotaName"]: quota["Value"] for page in pages for quota in page["Quotas"]}


def test_quotas_come_in_pages_and_some_only_as_defaults(cloud: ChildCloud) -> None:
    applied = listed(cloud, "list_service_quotas", "sagemaker")
    defaults = listed(cloud, "list_aws_default_service_quotas", "sagemaker")
    assert applied[ENDPOINTS] > 0
    assert SPOT not in applied
    assert defaults[SPOT] > 0
    first = cloud.client("service-quotas").list_service_quotas(
        ServiceCode="sagemaker", MaxResults=5
    )
    assert len(first["Quotas"]) == 5
    assert first["NextToken"]


def test_a_quota_is_what_the_service_goes_by(cloud: ChildCloud) -> None:
    with fault(cloud, "quotas", json.dumps({ENDPOINTS: 0, SPOT: 2})):
        found = listed(cloud, "list_service_quotas", "sagemaker")
        assert (found[ENDPOINTS], found[SPOT]) == (0, 2)
    with fault(cloud, "codebuild-quota", "1"):
        assert set(listed(cloud, "list_service_quotas", "codebuild").values()) == {1}
    with fault(cloud, "training-quota"):
        assert listed(cloud, "list_service_quotas", "sagemaker")[SPOT] == 0


def test_what_isn_t_there_is_refused(cloud: ChildCloud) -> None:
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        listed(cloud, "list_service_quotas", "bedrock")
    stranger = client_of_user(cloud, "quota-stranger", "service-quotas")
    with pytest.raises(ClientError, match="servicequotas:ListServiceQuotas"):
        stranger.list_service_quotas(ServiceCode="sagemaker")


def test_an_endpoint_beyond_its_quota_is_refused(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "beyond-quota")
    with (
        fault(cloud, "quotas", json.dumps({ENDPOINTS: 0})),
        pytest.raises(ClientError, match=f"limit '{ENDPOINTS}' is 0 Instances.*delta of 1"),
    ):
        endpoint.create()


def test_a_region_has_some_instance_types_and_not_others(cloud: ChildCloud) -> None:
    def offered(name: str) -> bool:
        found = cloud.client("ec2").describe_instance_type_offerings(
            LocationType="region", Filters=[{"Name": "instance-type", "Values": [name]}]
        )
        return [each["InstanceType"] for each in found["InstanceTypeOfferings"]] == [name]

    assert offered("g5.xlarge")
    assert offered("inf2.xlarge")
    assert not offered("g5.huge")
    with fault(cloud, "no-instance-type", "g5.xlarge"):
        assert not offered("g5.xlarge")
        assert offered("inf2.xlarge")


def test_a_region_may_not_be_opted_in_to(cloud: ChildCloud) -> None:
    def status() -> str:
        regions = cloud.client("ec2").describe_regions(AllRegions=True, RegionNames=["us-east-1"])[
            "Regions"
        ]
        return str(regions[0]["OptInStatus"])

    assert status() == "opt-in-not-required"
    with fault(cloud, "region-disabled", "us-east-1"):
        assert status() == "not-opted-in"
