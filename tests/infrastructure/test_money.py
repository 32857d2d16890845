"""What a deploy says of its costs, a budget, and what stops an endpoint that nobody uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from idle_guard.handler import guard
from sd_contract.registration import start_command
from tests.infrastructure.support import (
    ENDPOINT_STACKS,
    G5_ALONE,
    Resource,
    Synthesized,
    synthesize,
    text_of,
)
from tests.infrastructure.template_problems import problems
from tests.infrastructure.test_permissions import UNSCOPED
from tests.infrastructure.test_scaling import OFFICE, g5

STACK, GUARD = "SdG5Stack", "idle_guard"
FUNCTION, SCHEDULE = "AWS::Lambda::Function", "AWS::Scheduler::Schedule"
BUDGET = "AWS::Budgets::Budget"
CLOSED = [{**OFFICE[0], "min": 1, "max": 1}, {**OFFICE[1], "min": 0, "max": 0}]


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return g5(tmp_path_factory.mktemp("idle"), idle_stop_h=2, scaling__schedule=json.dumps(CLOSED))


@pytest.fixture(scope="module")
def scaling(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return g5(
        tmp_path_factory.mktemp("scaling"),
        idle_stop_h=0.5,
        scaling__max_instances=4,
        serve="real-time,async,bulk",
        async__max_instances=3,
    )


def function(app: Synthesized) -> Resource:
    handler = {"Handler": "idle_guard.handler.handler"}
    return dict(app.only(STACK, FUNCTION, handler)["Properties"])


def test_an_endpoint_that_is_stopped_is_not_missed(idle: Synthesized, scaling: Synthesized) -> None:
    """One that scales stays, and is."""
    silent = {"TreatMissingData": "breaching"}
    found = [app.resources(STACK, "AWS::CloudWatch::Alarm", silent) for app in (idle, scaling)]
    assert [len(alarms) for alarms in found] == [0, 1]


def allowed(app: Synthesized) -> dict[str, list[str]]:
    found = app.allowed(STACK, app.function_role(STACK, GUARD))
    return {
        action: [each.rsplit(":", 1)[-1] for each in resources]
        for action, resources in found.items()
        if not action.startswith("logs:")
    }


def outputs(app: Synthesized, stack: str = STACK) -> dict[str, Any]:
    return {name: out["Value"] for name, out in app.templates[stack]["Outputs"].items()}


# --- costs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "hour", "month", "instance"),
    [
        ("g5", "1.41", "1,028.13", "ml.g5.xlarge"),
        ("djl", "1.41", "1,028.13", "ml.g5.xlarge"),
        ("inf2", "0.99", "722.70", "ml.inf2.xlarge"),
    ],
)
def test_every_deploy_that_starts_an_endpoint_says_what_it_costs(
    aws: Synthesized, variant: str, hour: str, month: str, instance: str
) -> None:
    said = outputs(aws, ENDPOINT_STACKS[variant])
    of = f"USD (1 x {instance}, price of 2026-11-25)"
    assert (said["CostPerHour"], said["CostPerMonth"]) == (f"{hour} {of}", f"{month} {of}")


def test_what_starts_no_endpoint_prints_no_cost(aws: Synthesized, tmp_path: Path) -> None:
    without = [name for name in aws.templates if name not in ENDPOINT_STACKS.values()]
    assert all("CostPerHour" not in aws.templates[name].get("Outputs", {}) for name in without)
    assert "CostPerHour" not in outputs(g5(tmp_path, serve="bulk"))


def test_a_cost_that_scales_is_a_range_with_the_asynchronous_instances(
    scaling: Synthesized,
) -> None:
    of = "(1 to 7 x ml.g5.xlarge, price of 2026-11-25)"
    assert outputs(scaling)["CostPerHour"] == f"1.41 to 9.86 USD {of}"


def test_a_cost_says_what_ends_it(idle: Synthesized) -> None:
    ends = "nothing while stopped, by 2 h without a request or its schedule"
    assert outputs(idle)["CostPerHour"].endswith(f"; {ends})")


def test_a_cost_nobody_knows_is_called_unknown(tmp_path: Path) -> None:
    app = g5(tmp_path, instance_type="ml.g5.16xlarge")
    said = outputs(app)["CostPerMonth"]
    assert said.startswith("unknown (1 x ml.g5.16xlarge): no price of ml.g5.16xlarge in us-east-1")
    assert said.endswith("sd.variants.g5.price_usd_per_hour sets one")


# --- the guard ----------------------------------------------------------------------------------


def test_by_default_nothing_stops_an_endpoint_and_nobody_may(aws: Synthesized) -> None:
    for stack in aws.templates:
        assert not aws.resources(stack, SCHEDULE)
        assert not aws.resources(stack, BUDGET)
    actions = {action for each in aws.statements() for action in each.actions}
    assert "sagemaker:DeleteEndpoint" not in actions


def test_the_guard_understands_its_environment(idle: Synthesized) -> None:
    told = {
        name: text_of(value) for name, value in function(idle)["Environment"]["Variables"].items()
    }
    made = guard(told, lambda service: service)
    assert (made.idle_h, made.scales, made.production_variant) == (2, False, "main")
    assert made.switch.parameter == "/sd/variants/g5"
    assert made.switch.start_command == start_command("g5", "sd", "us-east-1")


def test_the_guard_may_touch_its_own_endpoint_and_registration_alone(idle: Synthesized) -> None:
    config = "<ServingConfig"
    rights = allowed(idle)
    made = rights.pop("sagemaker:CreateEndpoint")
    assert sorted(each.startswith(config) for each in made) == [False, True]
    assert "endpoint/sd-g5" in made
    assert rights == {
        "sagemaker:DescribeEndpoint": ["endpoint/sd-g5"],
        "sagemaker:DeleteEndpoint": ["endpoint/sd-g5"],
        "ssm:GetParameter": ["parameter/sd/variants/g5"],
        "ssm:PutParameter": ["parameter/sd/variants/g5"],
        "events:PutEvents": ["event-bus/default"],
        "cloudwatch:GetMetricStatistics": ["*"],
    }
    (bus,) = [s for s in idle.statements() if s.stack == STACK and "events:PutEvents" in s.actions]
    assert bus.raw["Condition"] == {"StringEquals": {"events:source": "sd.endpoints"}}


def test_one_that_scales_may_be_scaled_and_not_deleted(scaling: Synthesized) -> None:
    """Deleted, its scaling would be forgotten (developer guide, endpoint-delete-with-scaling)."""
    rights = allowed(scaling)
    assert rights["sagemaker:UpdateEndpointWeightsAndCapacities"] == ["endpoint/sd-g5"]
    assert "sagemaker:DeleteEndpoint" not in rights
    everything = {action for action, resources in rights.items() if resources == ["*"]}
    assert everything <= UNSCOPED.keys()
    assert function(scaling)["Environment"]["Variables"]["SD_SCALES"] == "true"


def test_the_clock_checks_and_opens_and_closes_the_office(idle: Synthesized) -> None:
    asked = [each["Properties"] for each in idle.resources(STACK, SCHEDULE).values()]
    found = {
        (
            each["ScheduleExpression"],
            each.get("ScheduleExpressionTimezone"),
            json.loads(each["Target"]["Input"])["action"],
        )
        for each in asked
    }
    assert found == {
        ("rate(15 minutes)", None, "check"),
        ("cron(0 8 ? * MON-FRI *)", "Europe/Vienna", "start"),
        ("cron(0 18 ? * MON-FRI *)", "Europe/Vienna", "stop"),
    }
    assert not idle.resources(STACK, "AWS::ApplicationAutoScaling::ScalableTarget")


def test_nothing_is_checked_before_it_is_registered(idle: Synthesized) -> None:
    """The first check would find no endpoint, and call it stopped."""
    name, _ = idle.one(STACK, "AWS::SSM::Parameter", {"Name": "/sd/variants/g5"})
    endpoint, _ = idle.one(STACK, "AWS::SageMaker::Endpoint")
    for schedule in idle.resources(STACK, SCHEDULE).values():
        assert {name, endpoint} <= set(schedule["DependsOn"])


def test_only_this_account_s_scheduler_may_call(idle: Synthesized) -> None:
    (target, *_) = (each["Properties"] for each in idle.resources(STACK, SCHEDULE).values())
    role = target["Target"]["RoleArn"]["Fn::GetAtt"][0]
    (trust,) = idle.templates[STACK]["Resources"][role]["Properties"]["AssumeRolePolicyDocument"][
        "Statement"
    ]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert list(idle.allowed(STACK, role)) == ["lambda:InvokeFunction"]


# --- the budget ---------------------------------------------------------------------------------


def test_a_budget_tells_each_address_three_times(tmp_path: Path) -> None:
    context = {
        "sd.budget.usd_per_month": "500",
        "sd.budget.mails": "ops@example.com,cfo@example.com",
    }
    app = synthesize(tmp_path, **G5_ALONE, **context)
    budget = app.only("SdApiStack", BUDGET)["Properties"]
    assert budget["Budget"] == {
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": 500, "Unit": "USD"},
    }
    told = [
        (
            each["Notification"]["NotificationType"],
            each["Notification"]["Threshold"],
            [one["Address"] for one in each["Subscribers"]],
        )
        for each in budget["NotificationsWithSubscribers"]
    ]
    both = ["ops@example.com", "cfo@example.com"]
    assert told == [("ACTUAL", 80, both), ("ACTUAL", 100, both), ("FORECASTED", 100, both)]
    assert list(problems(app.templates, "us-east-1")) == []


@pytest.mark.parametrize("which", ["idle", "scaling"])
def test_no_service_would_refuse_it(which: str, request: pytest.FixtureRequest) -> None:
    app: Synthesized = request.getfixturevalue(which)
    assert list(problems(app.templates, "us-east-1")) == []
