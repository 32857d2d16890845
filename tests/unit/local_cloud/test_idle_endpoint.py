"""An endpoint of the local cloud, stopped for being idle and brought back by its command."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from front_door.errors import EndpointNotFound
from idle_guard.guard import Guard
from idle_guard.switch import Switch
from local_cloud.child import ChildCloud
from operations.endpoints import endpoints
from stacks.settings import Names
from tests.fakes.front_door import registration
from tests.fakes.local_account import allow, arn, client_of_user
from tests.fakes.toy_endpoint import ToyEndpoint
from tests.unit.local_cloud.test_cloudformation import Stack, toy_stack
from tests.unit.local_cloud.test_front_door import failure

HOUR = 3600.0


class Registered:
    """A toy endpoint that is registered as the variant `name`, and what guards it at `now`."""

    def __init__(self, cloud: ChildCloud, name: str) -> None:
        self.cloud, self.name, self.now = cloud, name, time.time()
        self.toy = ToyEndpoint(cloud, name)
        self.ssm, self.parameter = cloud.client("ssm"), f"/idle/variants/{name}"
        self.told: list[str] = []
        # What stacks/components/idle_guard.py lets it, and IAM enforced.
        endpoint = arn("sagemaker", f"endpoint/{name}")
        changes = "sagemaker:DescribeEndpoint sagemaker:CreateEndpoint sagemaker:DeleteEndpoint"
        rights = (
            allow(changes, endpoint),
            allow("sagemaker:CreateEndpoint", arn("sagemaker", f"endpoint-config/{name}")),
            allow("ssm:GetParameter ssm:PutParameter", arn("ssm", f"parameter{self.parameter}")),
            allow("cloudwatch:GetMetricStatistics"),
        )
        self.clients = {
            service: client_of_user(cloud, f"guard-{service}", service, *rights)
            for service in ("sagemaker", "ssm", "cloudwatch", "application-autoscaling")
        }

    def deploy(self) -> None:
        self.toy.create()
        document = registration(self.name, endpoint_name=self.name, endpoint_config=self.name)
        self.ssm.put_parameter(Name=self.parameter, Value=json.dumps(document), Type="String")

    @property
    def guard(self) -> Guard:
        def tell(what: str, _detail: Any) -> None:
            self.told.append(what)

        sagemaker, ssm, cloudwatch, scaling = self.clients.values()
        switch = Switch(sagemaker, ssm, self.parameter, "start it", tell, lambda: self.now)
        return Guard(switch, cloudwatch, scaling, "AllTraffic", 2.0, scales=False)

    def check(self) -> None:
        self.guard.handle({"action": "check"})


def test_an_idle_endpoint_is_stopped_and_comes_back_by_its_command(
    cloud: ChildCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    it = Registered(cloud, "idler")
    it.deploy()
    it.toy.invoke()
    now = datetime.fromtimestamp(it.now, UTC)
    seen = it.guard.requests(now - timedelta(hours=2), now + timedelta(minutes=1))
    assert seen == 1
    it.now += 1.9 * HOUR
    it.check()
    assert it.toy.invoke()["weights"] == "first"

    it.now += 3 * HOUR
    it.check()
    assert it.told == ["Endpoint Stopped"]
    assert type(failure(it.toy)) is EndpointNotFound
    stopped = it.guard.switch.registration().stopped
    assert stopped
    assert (stopped.why, stopped.start) == ("no request for 2 h", "start it")

    names = Names("idle")
    status = endpoints(cloud.client, names, "start", "idler", pause=lambda _: time.sleep(0.05))
    assert (status, "It is in service." in capsys.readouterr().out) == (0, True)
    assert it.toy.invoke()["weights"] == "first"
    assert it.guard.switch.registration().stopped is None
    it.toy.delete()


def test_a_stack_whose_endpoint_is_stopped_can_be_deleted_and_not_updated(
    cloud: ChildCloud,
) -> None:
    stack: Stack = toy_stack(cloud, "stopped-stack")
    stack.create()
    sagemaker = cloud.client("sagemaker")
    sagemaker.delete_endpoint(EndpointName="stopped-stack")
    stack.delete()
    with pytest.raises(ClientError, match="Could not find endpoint"):
        sagemaker.describe_endpoint(EndpointName="stopped-stack")


def test_a_budget_is_kept_until_its_stack_goes(cloud: ChildCloud) -> None:
    budget = {
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": 500, "Unit": "USD"},
    }
    notice = {
        "Notification": {
            "NotificationType": "ACTUAL",
            "ComparisonOperator": "GREATER_THAN",
            "Threshold": 80,
        },
        "Subscribers": [{"SubscriptionType": "EMAIL", "Address": "ops@example.com"}],
    }
    properties = {"Budget": budget, "NotificationsWithSubscribers": [notice]}
    resource = {"Type": "AWS::Budgets::Budget", "Properties": properties}
    stack = Stack(cloud, "budgeted", {"Monthly": resource})
    stack.create()
    budgets, account = cloud.client("budgets"), cloud.settings.account
    (found,) = budgets.describe_budgets(AccountId=account)["Budgets"]
    assert found["BudgetLimit"]["Amount"] == "500"
    stack.delete()
    assert not budgets.describe_budgets(AccountId=account).get("Budgets")
