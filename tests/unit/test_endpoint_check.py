"""What stands between an endpoint and its registration: what it lets pass, and what it says."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cfn_requests.answering import answer_request, patiently
from endpoint_check.check import MAX_QUALITY_CHARS, Check
from tests.fakes.s3 import FakeS3

RECORD, MANIFEST = "images/k.json", "compiled/k/manifest.json"
DIGEST = f"sha256:{'d' * 64}"
QUALITY = {"pictures_db_min": 27.1, "unet_rms_ratio_max": 1.08}


ASKED = {
    "ServiceToken": "arn",
    "Endpoints": [{"Name": "sd-inf2", "Config": "new"}],
    "Bucket": "models",
    "ImageRecord": RECORD,
    "Manifest": MANIFEST,
}


def denied() -> ClientError:
    return ClientError({"Error": {"Code": "AccessDenied", "Message": "not allowed"}}, "GetObject")


class Deploy:
    """CloudFormation, and the endpoint as SageMaker describes it, one state after the other."""

    def __init__(self) -> None:
        self.s3 = FakeS3()
        self.has(RECORD, {"base_image": "aws:1", "base_digest": DIGEST, "image": "ours:k"})
        self.has(MANIFEST, {"key": "k", "quality": QUALITY})
        self.states: list[dict[str, str]] = [in_service("new")]
        self.pauses: list[float] = []
        self.asked: list[str] = []

    def has(self, key: str, document: Mapping[str, Any]) -> None:
        self.s3.objects[key] = json.dumps(document).encode()

    def describe_endpoint(self, EndpointName: str) -> dict[str, str]:
        self.asked.append(EndpointName)
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def request(self, kind: str = "Create", **more: Any) -> dict[str, Any]:
        """Sends a request; gives the answer."""
        event = {
            "RequestType": kind,
            "RequestId": "r",
            "StackId": "s",
            "LogicalResourceId": "Check",
            "ResponseURL": "https://response",
            "ResourceProperties": ASKED,
            **more,
        }
        answers: list[tuple[str, Mapping[str, Any]]] = []
        check = Check(self, self.s3, self.pauses.append)
        answer_request(
            event,
            lambda: patiently(lambda: check.carry_out(event), self.pauses.append),
            lambda url, document: answers.append((url, document)),
        )
        ((url, answer),) = answers
        assert url == "https://response"
        return dict(answer)


def in_service(config: str, **more: str) -> dict[str, str]:
    return {"EndpointStatus": "InService", "EndpointConfigName": config, **more}


@pytest.fixture
def deploy() -> Deploy:
    return Deploy()


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_an_endpoint_as_asked_for_gives_what_it_was_built_from(deploy: Deploy, kind: str) -> None:
    answer = deploy.request(kind)
    assert answer["Status"] == "SUCCESS"
    built = json.loads(answer["Data"]["Built"])
    assert built == {"base_image_digest": DIGEST, "quality": QUALITY}
    assert " " not in answer["Data"]["Built"]  # 4096 characters are all a parameter holds
    assert deploy.pauses == []


def test_each_of_a_variant_s_endpoints_is_looked_at(deploy: Deploy) -> None:
    both = [{"Name": "sd-inf2", "Config": "new"}, {"Name": "sd-inf2-async", "Config": "newer"}]
    deploy.states = [in_service("new"), in_service("old")]
    answer = deploy.request(ResourceProperties={**ASKED, "Endpoints": both})
    assert deploy.asked == ["sd-inf2", "sd-inf2-async"]
    assert "sd-inf2-async is in service on its old configuration old" in answer["Reason"]


def test_a_variant_without_an_endpoint_is_told_what_it_was_built_from(deploy: Deploy) -> None:
    answer = deploy.request(ResourceProperties={**ASKED, "Endpoints": []})
    assert deploy.asked == []
    assert json.loads(answer["Data"]["Built"])["base_image_digest"] == DIGEST


@pytest.mark.parametrize(
    ("more", "said"),
    [({}, "SageMaker gives no reason"), ({"FailureReason": "no capacity"}, "(no capacity)")],
)
def test_an_endpoint_that_rolled_back_by_itself_fails_the_deploy(
    deploy: Deploy, more: dict[str, str], said: str
) -> None:
    deploy.states = [in_service("old", **more)]
    answer = deploy.request("Update", PhysicalResourceId="endpoint-check-sd-inf2")
    assert answer["Status"] == "FAILED"
    assert "on its old configuration old, not on new" in answer["Reason"]
    assert said in answer["Reason"]
    # The same resource: CloudFormation has nothing to delete.
    assert answer["PhysicalResourceId"] == "endpoint-check-sd-inf2"


def test_an_endpoint_out_of_service_fails_the_deploy_with_its_reason(deploy: Deploy) -> None:
    failed = {"EndpointStatus": "Failed", "EndpointConfigName": "new", "FailureReason": "no ping"}
    deploy.states = [failed]
    assert "sd-inf2 is Failed, not InService: no ping" in deploy.request()["Reason"]


def test_what_is_under_way_is_waited_for_and_not_for_ever(deploy: Deploy) -> None:
    maintained = {"EndpointStatus": "SystemUpdating", "EndpointConfigName": "new"}
    deploy.states = [maintained, maintained, in_service("new")]
    assert deploy.request()["Status"] == "SUCCESS"
    assert len(deploy.pauses) == 2

    deploy.states = [maintained]
    assert "sd-inf2 is SystemUpdating" in deploy.request()["Reason"]
    assert sum(deploy.pauses) < 180  # the function's time


def test_a_variant_without_a_compile_has_no_quality(deploy: Deploy) -> None:
    without = {name: value for name, value in ASKED.items() if name != "Manifest"}
    built = json.loads(deploy.request(ResourceProperties=without)["Data"]["Built"])
    assert built == {"base_image_digest": DIGEST, "quality": None}


def test_what_nobody_recorded_is_null_and_made_up_by_nobody(deploy: Deploy) -> None:
    del deploy.s3.objects[RECORD]
    deploy.has(MANIFEST, {"key": "k"})
    # Another image's, whose name begins alike.
    deploy.has(f"{RECORD}.old", {"base_digest": "sha256:other"})
    built = json.loads(deploy.request()["Data"]["Built"])
    assert built == {"base_image_digest": None, "quality": None}


def test_a_compiled_model_without_its_manifest_fails_the_deploy(deploy: Deploy) -> None:
    del deploy.s3.objects[MANIFEST]
    assert f"{MANIFEST} is not there" in deploy.request()["Reason"]


def test_figures_too_long_for_the_registration_fail_the_deploy(deploy: Deploy) -> None:
    deploy.has(MANIFEST, {"quality": {"notes": "x" * MAX_QUALITY_CHARS}})
    answer = deploy.request()
    assert answer["Status"] == "FAILED"
    assert f"at most {MAX_QUALITY_CHARS}" in answer["Reason"]


def test_a_policy_not_yet_in_force_is_waited_for(deploy: Deploy) -> None:
    deploy.s3.refusals = [denied(), denied()]
    assert deploy.request()["Status"] == "SUCCESS"
    assert len(deploy.pauses) == 2


def test_what_may_not_be_read_fails_the_deploy(deploy: Deploy) -> None:
    deploy.s3.refusals = [denied()] * 10
    answer = deploy.request()
    assert answer["Status"] == "FAILED"
    assert "not allowed" in answer["Reason"]


def test_delete_asks_nobody_anything(deploy: Deploy) -> None:
    deploy.states = []
    answer = deploy.request("Delete", PhysicalResourceId="x")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "x")


def test_a_request_that_cannot_be_understood_is_still_answered(deploy: Deploy) -> None:
    answer = deploy.request(ResourceProperties={})
    assert answer["Status"] == "FAILED"
    assert "Endpoints" in answer["Reason"]
