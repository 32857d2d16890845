"""What guards an endpoint: the check before it is registered, its alarms, its log group."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_cloud.ministack.alarms import evaluated_state
from local_cloud.sagemaker.traffic import traffic_shift
from stacks.components.rollout import ALARM_DELAY_S, INSTANCES_S
from tests.infrastructure.support import ENDPOINT_STACKS as STACKS
from tests.infrastructure.support import G5_ALONE, Resource, Synthesized, synthesize, text_of
from tests.infrastructure.test_endpoint_stacks import (
    CONFIG,
    ENDPOINT,
    MODEL,
    container,
    parameter,
    production_variant,
)

CHECK = "Custom::EndpointCheck"


def test_only_an_endpoint_on_the_configuration_asked_for_is_registered(
    aws: Synthesized, variant: str
) -> None:
    """hashicorp/terraform-provider-aws#48997: one in service may be on its old one."""
    stack = STACKS[variant]
    name, check = aws.one(stack, CHECK)
    assert f"<{name}.Built>" in text_of(parameter(aws, variant)["Value"])
    assert aws.one(stack, ENDPOINT)[0] in check["DependsOn"]
    properties, config = check["Properties"], aws.one(stack, CONFIG)[0]
    (endpoint,) = properties["Endpoints"]
    assert endpoint["Name"] == f"sd-{variant}"
    assert text_of(endpoint["Config"]) == f"<{config}.EndpointConfigName>"
    key = text_of(container(aws, variant)["Image"]).rsplit(":", 1)[1]
    assert properties["ImageRecord"] == f"images/{key}.json"
    served = container(aws, variant)["Environment"]["SD_ARTIFACT_KEY"]
    compiled = f"compiled/{served}/manifest.json" if variant == "inf2" else None
    assert properties.get("Manifest") == compiled


def test_the_check_may_look_at_its_endpoint_and_read_what_it_is_told_of(
    aws: Synthesized, variant: str
) -> None:
    stack = STACKS[variant]
    check = aws.only(stack, CHECK)["Properties"]
    objects = [check["ImageRecord"], *([check["Manifest"]] if "Manifest" in check else [])]
    allowed = aws.allowed(stack, aws.function_role(stack, "endpoint_check"))
    granted = {
        action: [resource.rsplit(":", 1)[-1] for resource in resources]
        for action, resources in allowed.items()
    }
    assert granted["sagemaker:DescribeEndpoint"] == [f"endpoint/sd-{variant}"]
    assert [name.split("/", 1)[1] for name in granted["s3:GetObject"]] == objects
    assert granted.keys() == {
        "sagemaker:DescribeEndpoint",
        "s3:GetObject",
        "s3:ListBucket",
        "kms:Decrypt",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }


FAILING, SLOW = "Invocation5XXErrors", "ModelLatency"
UNANSWERED = "InvocationModelErrors - Invocation4XXErrors - Invocation5XXErrors"


@dataclass(frozen=True)
class Watched:
    """An alarm: its logical id, its properties, and the metrics it is on."""

    id: str
    properties: Resource
    metrics: tuple[Resource, ...]

    @classmethod
    def of(cls, id: str, resource: Resource) -> "Watched":
        properties = resource["Properties"]
        queries = {query["Id"]: query for query in properties.get("Metrics", ())}
        calculated = [query["Expression"] for query in queries.values() if "Expression" in query]
        names = calculated[0].split(" - ") if calculated else []
        metrics = [queries[name]["MetricStat"]["Metric"] for name in names] or [properties]
        return cls(id, properties, tuple(metrics))

    @property
    def on(self) -> str:
        return " - ".join(metric["MetricName"] for metric in self.metrics)

    def dimensions(self) -> list[dict[str, str]]:
        """Of each metric."""
        return [
            {each["Name"]: text_of(each["Value"]) for each in metric["Dimensions"]}
            for metric in self.metrics
        ]


def alarms(aws: Synthesized, variant: str, *, new_fleet: bool) -> dict[str, Watched]:
    """By what they are on: those of the newest fleet, or of the whole endpoint."""
    found = aws.resources(STACKS[variant], "AWS::CloudWatch::Alarm")
    watched = [Watched.of(id, alarm) for id, alarm in found.items()]
    return {
        each.on: each
        for each in watched
        if all(("EndpointConfigName" in found) == new_fleet for found in each.dimensions())
    }


def test_the_alarms_see_the_metrics_of_the_endpoint_and_of_its_newest_fleet(
    aws: Synthesized, variant: str
) -> None:
    """With all dimensions of theirs, or they would never see a thing."""
    whole = {
        "EndpointName": f"sd-{variant}",
        "VariantName": production_variant(aws, variant)["VariantName"],
    }
    (config,) = aws.resources(STACKS[variant], CONFIG)
    newest = {**whole, "EndpointConfigName": f"<{config}.EndpointConfigName>"}
    of_endpoint = alarms(aws, variant, new_fleet=False)
    of_fleet = alarms(aws, variant, new_fleet=True)
    assert FAILING in of_endpoint
    assert of_fleet.keys() == {FAILING, SLOW, UNANSWERED}
    failing = {FAILING: of_endpoint[FAILING]}
    for dimensions, found in ((whole, failing), (newest, of_fleet)):
        for alarm in found.values():
            assert alarm.properties["TreatMissingData"] == "notBreaching"
            assert {metric["Namespace"] for metric in alarm.metrics} == {"AWS/SageMaker"}
            assert all(each == dimensions for each in alarm.dimensions())


def test_an_update_goes_back_by_its_own_fleet_alone(aws: Synthesized, variant: str) -> None:
    """The old one's errors, which a fix is to end, don't count; nor does the state they have put an
    alarm into: each configuration has alarms of its own."""
    stack = STACKS[variant]
    deployment = aws.only(stack, ENDPOINT)["Properties"]["DeploymentConfig"]
    watched = {
        alarm["AlarmName"]["Ref"] for alarm in deployment["AutoRollbackConfiguration"]["Alarms"]
    }
    of_fleet = alarms(aws, variant, new_fleet=True)
    assert watched == {alarm.id for alarm in of_fleet.values()}
    (config,) = aws.resources(stack, CONFIG)
    names = {text_of(alarm.properties["AlarmName"]) for alarm in of_fleet.values()}
    ends = ("failing", "slow", "unanswered")
    assert names == {f"<{config}.EndpointConfigName>-{end}" for end in ends}


@pytest.mark.parametrize("on", [FAILING, SLOW, UNANSWERED])
def test_an_alarm_of_the_new_fleet_goes_off_before_its_share_of_the_traffic_grows(
    aws: Synthesized, variant: str, on: str
) -> None:
    """And before the old one ends. By the local cloud's evaluation of it, from whichever second of
    a minute on something is the matter."""
    properties = alarms(aws, variant, new_fleet=True)[on].properties
    alarm = {"Statistic": "Sum", "Period": 60, **properties, "StateValue": "OK"}
    deployment = aws.only(STACKS[variant], ENDPOINT)["Properties"]["DeploymentConfig"]
    watched_s = deployment["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"]
    value = 2 * properties["Threshold"] if on == SLOW else 1.0

    def delay_s(first_second: int) -> int:
        # Every ten seconds.
        points = [
            {"Timestamp": float(first_second + n), "Value": value} for n in range(0, 1200, 10)
        ]
        minutes = range(first_second // 60, first_second // 60 + 30)
        off = (60 * m for m in minutes if evaluated_state(alarm, points, 60.0 * m) == "ALARM")
        return next(off) - first_second

    slowest = max(delay_s(60_000 + second) for second in range(60))
    assert slowest <= ALARM_DELAY_S < watched_s


@pytest.mark.parametrize(
    ("variant", "norm_s"), [("g5", 20 * 0.0782), ("djl", 20 * 0.051), ("inf2", 20 * 0.0472)]
)
def test_slow_is_by_the_variant_s_own_registered_seconds(
    aws: Synthesized, variant: str, norm_s: float
) -> None:
    at_once = 8 if variant == "djl" else 2
    alarm = alarms(aws, variant, new_fleet=True)[SLOW].properties
    assert alarm["ExtendedStatistic"] == "p50"
    assert alarm["Threshold"] == pytest.approx(1.5 * norm_s * at_once * 1e6, abs=1)


def test_sagemaker_may_look_at_the_alarms(aws: Synthesized, variant: str) -> None:
    """Developer guide, deployment-guardrails-configuration: the execution role has to."""
    stack = STACKS[variant]
    endpoint = aws.only(stack, ENDPOINT)
    watched = endpoint["Properties"]["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    role = aws.only(stack, MODEL)["Properties"]["ExecutionRoleArn"]["Fn::GetAtt"][0]
    looking = {
        "Action": "cloudwatch:DescribeAlarms",
        "Resource": [{"Fn::GetAtt": [each["AlarmName"]["Ref"], "Arn"]} for each in watched],
        "Effect": "Allow",
    }
    policy = {"Roles": [{"Ref": role}], "PolicyDocument": {"Statement": [looking]}}
    assert aws.one(stack, "AWS::IAM::Policy", policy)[0] in endpoint["DependsOn"]


TWO_INSTANCES = {
    "sd.variants.g5.scaling.min_instances": "2",
    "sd.variants.g5.scaling.max_instances": "2",
}


@pytest.mark.parametrize(
    ("kind", "size", "shares"), [("canary", "CanarySize", 2), ("linear", "LinearStepSize", 4)]
)
def test_the_traffic_goes_over_as_the_setting_says(
    tmp_path: Path, kind: str, size: str, shares: int
) -> None:
    setting = {"sd.variants.g5.rollout.type": kind, "sd.variants.g5.rollout.percent": "25"}
    app = synthesize(tmp_path, **G5_ALONE, **TWO_INSTANCES, **setting)
    deployment = app.only("SdG5Stack", ENDPOINT)["Properties"]["DeploymentConfig"]
    policy = deployment["BlueGreenUpdatePolicy"]
    routing, wait_s = policy["TrafficRoutingConfiguration"], ALARM_DELAY_S + 300
    assert routing == {
        "Type": kind.upper(),
        size: {"Type": "CAPACITY_PERCENT", "Value": 25},
        "WaitIntervalInSeconds": wait_s,
    }
    assert policy["TerminationWaitInSeconds"] == wait_s
    starts_s = policy["MaximumExecutionTimeoutInSeconds"] - shares * wait_s
    assert starts_s == INSTANCES_S + 900 + 900
    # With four instances each share is one more.
    assert len(traffic_shift(deployment, 4).shares) == shares


def test_one_deploy_may_go_without_the_rollback(tmp_path: Path) -> None:
    once = synthesize(tmp_path, **G5_ALONE, **{"sd.variants.g5.auto_rollback": "false"})
    deployment = once.only("SdG5Stack", ENDPOINT)["Properties"]["DeploymentConfig"]
    assert "AutoRollbackConfiguration" not in deployment
    assert deployment["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] == 0


def test_a_container_s_log_group_is_ours_and_sagemaker_cannot_make_another(
    aws: Synthesized, variant: str
) -> None:
    """In a stack that is there before the endpoint: the log of a first deploy that fails stays."""
    name = f"/aws/sagemaker/Endpoints/sd-{variant}"
    kept = {"LogGroupName": name, "RetentionInDays": aws.settings.api.log_days}
    assert aws.only("SdApiStack", "AWS::Logs::LogGroup", kept)["DeletionPolicy"] == "Delete"
    assert "SdApiStack" in aws.dependencies[STACKS[variant]]
    link = aws.templates["SdApiStack"]["Outputs"][f"ContainerLog{variant.capitalize()}"]["Value"]
    assert link.endswith(name.replace("/", "$252F"))
    role = aws.only(STACKS[variant], MODEL)["Properties"]["ExecutionRoleArn"]
    granted = aws.allowed(STACKS[variant], role)
    assert "logs:CreateLogGroup" not in granted
    assert any(name in resource for resource in granted["logs:PutLogEvents"])


def test_every_function_s_asset_has_what_its_handler_imports(aws: Synthesized) -> None:
    """Packages that several share are staged into each."""
    entries = {
        (str(properties["Handler"]), str(properties["Code"]["S3Key"]).removesuffix(".zip"))
        for _, function in aws.every("AWS::Lambda::Function")
        if (properties := function["Properties"])["Handler"].endswith(".handler")
    }
    assert len({handler for handler, _ in entries}) == 12
    for handler, asset in entries:
        folder = aws.folder / f"asset.{asset}"
        module = handler.removesuffix(".handler")
        code = f"import sys; sys.path.insert(0, {str(folder)!r}); import {module}"
        subprocess.run([sys.executable, "-I", "-c", code], check=True)
