"""How many instances a variant has: by load, by the clock, none; and what it has where it serves
otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sd_contract.environment import Batching
from sd_contract.fleet import Fleet
from sd_contract.registration import Registration
from sd_serving.config import ServingConfig
from tests.infrastructure.support import G5_ALONE, Resource, Synthesized, synthesize, text_of
from tests.infrastructure.test_aws_models import MOST
from tests.infrastructure.test_endpoint_stacks import (
    CONFIG,
    ENDPOINT,
    MODEL,
    container,
    parameter,
    registered,
)

STACK = "SdG5Stack"
TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
POLICY, ALARM = "AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::CloudWatch::Alarm"
G5 = "sd.variants.g5."
OFFICE = [
    {"cron": "0 8 ? * MON-FRI *", "timezone": "Europe/Vienna", "min": 2, "max": 4},
    {"cron": "0 18 ? * MON-FRI *", "timezone": "Europe/Vienna", "min": 1, "max": 1},
]


def g5(folder: Path, **changes: object) -> Synthesized:
    """Alone, with these of its settings; "__" stands for a dot."""
    given = {f"{G5}{name.replace('__', '.')}": str(value) for name, value in changes.items()}
    return synthesize(folder, **G5_ALONE, **given)


@pytest.fixture(scope="module")
def scaling(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return g5(tmp_path_factory.mktemp("scaling"), scaling__max_instances=4)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    serve = "real-time,async,bulk"
    return g5(tmp_path_factory.mktemp("both"), serve=serve, async__max_instances=3)


def endpoint_called(app: Synthesized, name: str) -> str:
    """Its logical id."""
    return app.one(STACK, ENDPOINT, {"EndpointName": name})[0]


def scaled(endpoint: str) -> dict[str, Any]:
    """How target and policies name the instances of an endpoint."""
    join = ["endpoint/", {"Fn::GetAtt": [endpoint, "EndpointName"]}, "/variant/main"]
    return {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": {"Fn::Join": ["", join]},
    }


def test_by_default_nothing_scales(aws: Synthesized) -> None:
    """Each instance costs from its first minute."""
    for stack in aws.templates:
        assert not aws.resources(stack, TARGET)
        assert not aws.resources(stack, POLICY)
    for endpoint in aws.every(ENDPOINT):
        assert "RetainAllVariantProperties" not in endpoint[1]["Properties"]


def test_a_real_time_endpoint_scales_by_its_concurrent_requests(scaling: Synthesized) -> None:
    endpoint = endpoint_called(scaling, "sd-g5")
    name, target = scaling.one(STACK, TARGET)
    assert target["Properties"] == {**scaled(endpoint), "MinCapacity": 1, "MaxCapacity": 4}
    policy = scaling.only(STACK, POLICY)
    assert policy["Properties"] == {
        **scaled(endpoint),
        "PolicyName": "track",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 2,
            "ScaleInCooldown": 600,
            "ScaleOutCooldown": 600,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
            },
        },
    }
    assert policy["DependsOn"] == [name]
    (variant,) = scaling.only(STACK, CONFIG)["Properties"]["ProductionVariants"]
    assert (variant["VariantName"], variant["InitialInstanceCount"]) == ("main", 1)


def test_an_update_keeps_the_instances_that_the_load_has_brought(scaling: Synthesized) -> None:
    assert scaling.one(STACK, ENDPOINT, {"RetainAllVariantProperties": True})


def test_a_destroy_deregisters_before_the_endpoint_goes(scaling: Synthesized) -> None:
    """CloudFormation deletes what refers to another first. It does so under its own role, and
    scaling is done under Application Auto Scaling's: no role here has to know of either."""
    endpoint = endpoint_called(scaling, "sd-g5")
    target = scaling.only(STACK, TARGET)["Properties"]
    assert endpoint in json.dumps(target["ResourceId"])
    assert "RoleARN" not in target
    actions = {action for each in scaling.statements() for action in each.actions}
    assert not any(action.startswith("application-autoscaling:") for action in actions)


def test_office_hours_change_the_range(tmp_path: Path) -> None:
    app = g5(tmp_path, scaling__schedule=json.dumps(OFFICE))
    target = app.only(STACK, TARGET)["Properties"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 1)
    assert target["ScheduledActions"] == [
        {
            "ScheduledActionName": f"schedule-{number}",
            "Schedule": f"cron({each['cron']})",
            "Timezone": "Europe/Vienna",
            "ScalableTargetAction": {"MinCapacity": each["min"], "MaxCapacity": each["max"]},
        }
        for number, each in enumerate(OFFICE, 1)
    ]
    # For the hours in which there is room.
    assert len(app.resources(STACK, POLICY)) == 1


def test_a_fixed_number_needs_no_scaling(tmp_path: Path) -> None:
    app = g5(tmp_path, scaling__min_instances=3, scaling__max_instances=3)
    assert not app.resources(STACK, TARGET)
    (variant,) = app.only(STACK, CONFIG)["Properties"]["ProductionVariants"]
    assert variant["InitialInstanceCount"] == 3
    assert Registration.from_json(registered(app, "g5")).instance_count == 3


def test_an_asynchronous_endpoint_scales_to_zero_and_wakes(both: Synthesized) -> None:
    """With the dimension that each metric has, which is the endpoint's name alone: with VariantName
    besides, neither would ever be seen."""
    endpoint = endpoint_called(both, "sd-g5-async")
    name, target = both.one(STACK, TARGET)
    assert target["Properties"] == {**scaled(endpoint), "MinCapacity": 0, "MaxCapacity": 3}
    policies = both.resources(STACK, POLICY)
    found = {policy["Properties"].pop("PolicyType"): policy for policy in policies.values()}
    this = {"Fn::GetAtt": [endpoint, "EndpointName"]}
    assert found["TargetTrackingScaling"]["Properties"] == {
        **scaled(endpoint),
        "PolicyName": "track",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 5,
            "ScaleInCooldown": 600,
            "ScaleOutCooldown": 600,
            "CustomizedMetricSpecification": {
                "Namespace": "AWS/SageMaker",
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Dimensions": [{"Name": "EndpointName", "Value": this}],
                "Statistic": "Average",
            },
        },
    }
    assert found["StepScaling"]["Properties"] == {
        **scaled(endpoint),
        "PolicyName": "wake",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "Cooldown": 600,
            "MetricAggregationType": "Average",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    }
    assert all(policy["DependsOn"] == [name] for policy in found.values())
    (waking,) = (name for name, policy in policies.items() if policy is found["StepScaling"])
    alarm = both.only(STACK, ALARM, {"AlarmActions": [{"Ref": waking}]})["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (
        "AWS/SageMaker",
        "HasBacklogWithoutCapacity",
    )
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": this}]
    assert (alarm["Statistic"], alarm["Period"]) == ("Average", 60)
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (2, 2)
    assert alarm["Threshold"] == 1
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"


def test_both_endpoints_of_a_variant_serve_one_model_and_both_are_checked(
    both: Synthesized,
) -> None:
    model, _ = both.one(STACK, MODEL)
    served = {
        text_of(config["Properties"]["ProductionVariants"][0]["ModelName"])
        for config in both.resources(STACK, CONFIG).values()
    }
    assert served == {f"<{model}.ModelName>"}
    check = both.only(STACK, "Custom::EndpointCheck")
    names = [each["Name"] for each in check["Properties"]["Endpoints"]]
    assert names == ["sd-g5", "sd-g5-async"]
    assert {endpoint_called(both, name) for name in names} <= {*check["DependsOn"]}
    granted = both.allowed(STACK, both.function_role(STACK, "endpoint_check"))
    looked_at = [arn.rsplit("/", 1)[1] for arn in granted["sagemaker:DescribeEndpoint"]]
    assert looked_at == names


def test_an_asynchronous_endpoint_reads_from_batches_and_tells_of_its_answers(
    both: Synthesized,
) -> None:
    config = both.only(STACK, CONFIG, {"AsyncInferenceConfig": {}})["Properties"]
    told = config["AsyncInferenceConfig"]
    # What waits for the container can't be taken back any more.
    assert told["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 1}
    output = told["OutputConfig"]
    assert output["S3OutputPath"] == output["S3FailurePath"]
    assert text_of(output["S3OutputPath"]).endswith(">/async/")
    notified = output["NotificationConfig"]
    topics = [text_of(notified[topic]) for topic in ("SuccessTopic", "ErrorTopic")]
    assert len({*topics}) == 2
    role = both.only(STACK, MODEL)["Properties"]["ExecutionRoleArn"]["Fn::GetAtt"][0]
    allowed = both.allowed(STACK, role)
    assert allowed["sns:Publish"] == topics
    assert [r.rpartition(">/")[2] for r in allowed["s3:PutObject"]] == ["async/*"]
    assert any(r.endswith(">/batches/*") for r in allowed["s3:GetObject"])
    log = "/aws/sagemaker/Endpoints/sd-g5-async"
    assert any(log in r for r in allowed["logs:PutLogEvents"])
    assert both.one("SdBatchStack", "AWS::Logs::LogGroup", {"LogGroupName": log})


def test_a_container_gets_as_many_at_once_as_it_draws_together(tmp_path: Path) -> None:
    app = synthesize(
        tmp_path,
        **{
            "sd.variants.djl.serve": "async",
            "sd.variants.g5.serve": "async",
            "sd.variants.g5.max_batch_size": "4",
        },
    )
    for stack, most in (("SdDjlStack", 8), (STACK, 4)):
        config = app.only(stack, CONFIG)["Properties"]["AsyncInferenceConfig"]
        assert config["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": most}
    # What a bulk job goes by as well, which has the server's environment, but no DJL.
    for variant, most in (("djl", 8), ("g5", 4)):
        told = container(app, variant)["Environment"]
        assert ServingConfig.from_env(told).batching == Batching(most, 100)


def test_a_variant_may_be_asynchronous_alone(tmp_path: Path) -> None:
    """Nothing of it costs while nothing waits."""
    app = g5(tmp_path, serve="async")
    assert [e["Properties"]["EndpointName"] for _, e in app.every(ENDPOINT)] == ["sd-g5-async"]
    assert Registration.from_json(registered(app, "g5")).serve == ("async",)
    role = app.only(STACK, MODEL)["Properties"]["ExecutionRoleArn"]["Fn::GetAtt"][0]
    assert not any(
        r.endswith("Endpoints/sd-g5") for r in app.allowed(STACK, role)["logs:PutLogEvents"]
    )


def test_a_variant_for_bulk_alone_has_its_image_and_no_endpoint(tmp_path: Path) -> None:
    app = g5(tmp_path, serve="bulk")
    for kind in (ENDPOINT, CONFIG, MODEL):
        assert not app.resources(STACK, kind)
    found = Fleet.from_json(fleet(app, "g5"))
    assert (found.serve, found.async_endpoint_name) == (("bulk",), None)
    assert found.bulk
    # What both parameters wait for has waited for the image.
    ready, _ = app.one(STACK, "AWS::CloudFormation::WaitCondition")
    name, check = app.one(STACK, "Custom::EndpointCheck")
    assert ready in check["DependsOn"]
    assert check["Properties"]["Endpoints"] == []
    assert f"<{name}.Built>" in text_of(parameter(app, "g5")["Value"])


def fleet(app: Synthesized, name: str) -> str:
    return text_of(parameter(app, name, "fleets")["Value"])


def test_batches_understand_what_a_variant_tells_them(aws: Synthesized, variant: str) -> None:
    found = Fleet.from_json(fleet(aws, variant))
    assert (found.serve, found.async_endpoint_name) == (("real-time", "bulk"), None)
    bulk = found.bulk
    assert bulk
    # The same engine and artifact as the endpoint's.
    served = container(aws, variant)
    assert bulk.image_uri == text_of(served["Image"])
    assert bulk.model_uri == text_of(served["ModelDataSource"]["S3DataSource"]["S3Uri"])
    assert bulk.environment == served["Environment"]
    expected = "ml.trn1.2xlarge" if variant == "inf2" else "ml.g5.xlarge"
    assert (bulk.instance_type, bulk.instance_count, bulk.spot) == (expected, 1, True)
    assert (bulk.max_seconds, bulk.volume_gb) == (86_400, 100)
    assert bulk.price_usd_per_hour == (None if variant == "inf2" else 1.4084)
    parameters: dict[str, Resource] = aws.resources(f"Sd{variant.capitalize()}Stack", PARAMETER)
    (told,) = (p for p in parameters.values() if "fleets" in p["Properties"]["Name"])
    assert told["DependsOn"]


PARAMETER = "AWS::SSM::Parameter"


def test_a_fleet_fits_its_parameter_whatever_settings_say(tmp_path: Path) -> None:
    app = synthesize(tmp_path, **MOST)
    for name in ("g5", "djl", "inf2"):
        assert len(fleet(app, name)) <= 4096 - 400  # names are longer in a deploy
