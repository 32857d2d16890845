"""What guards an endpoint: the check before it is registered, its alarms, its log group."""

import subprocess
import sys
from pathlib import Path

from local_cloud.ministack.alarms import evaluated_state
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


def alarms(aws: Synthesized, variant: str) -> dict[str, Resource]:
    """Their properties by the names of their dimensions."""
    found = aws.resources(STACKS[variant], "AWS::CloudWatch::Alarm").values()
    return {
        "+".join(d["Name"] for d in alarm["Properties"]["Dimensions"]): alarm["Properties"]
        for alarm in found
    }


OF_ENDPOINT = "EndpointName+VariantName"
OF_NEW_FLEET = "EndpointName+VariantName+EndpointConfigName"


def test_the_alarms_see_the_metrics_of_the_endpoint_and_of_its_newest_fleet(
    aws: Synthesized, variant: str
) -> None:
    """With all dimensions of theirs, or they would never see a thing."""
    found = alarms(aws, variant)
    assert found.keys() == {OF_ENDPOINT, OF_NEW_FLEET}
    (config,) = aws.resources(STACKS[variant], CONFIG)
    for alarm in found.values():
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SageMaker", "Invocation5XXErrors")
        assert alarm["TreatMissingData"] == "notBreaching"
        values = {d["Name"]: text_of(d["Value"]) for d in alarm["Dimensions"]}
        newest = f"<{config}.EndpointConfigName>"
        assert values.pop("EndpointConfigName", newest) == newest
        assert values == {
            "EndpointName": f"sd-{variant}",
            "VariantName": production_variant(aws, variant)["VariantName"],
        }


def test_an_update_goes_back_by_its_own_fleet_s_errors_alone(
    aws: Synthesized, variant: str
) -> None:
    """Those of the old one, which a fix is to end, don't count; nor does the state they have put an
    alarm into: each configuration has an alarm of its own."""
    stack = STACKS[variant]
    deployment = aws.only(stack, ENDPOINT)["Properties"]["DeploymentConfig"]
    (watched,) = deployment["AutoRollbackConfiguration"]["Alarms"]
    alarm = aws.resources(stack, "AWS::CloudWatch::Alarm")[watched["AlarmName"]["Ref"]]
    assert alarm["Properties"] == alarms(aws, variant)[OF_NEW_FLEET]
    (config,) = aws.resources(stack, CONFIG)
    assert text_of(alarm["Properties"]["AlarmName"]) == f"<{config}.EndpointConfigName>-failing"


def test_the_alarm_of_a_failing_fleet_goes_off_well_before_the_old_one_ends(
    aws: Synthesized, variant: str
) -> None:
    """By the local cloud's evaluation of it, from whichever second of a minute on it fails."""
    alarm = {**alarms(aws, variant)[OF_NEW_FLEET], "StateValue": "OK"}
    deployment = aws.only(STACKS[variant], ENDPOINT)["Properties"]["DeploymentConfig"]
    baking_s = deployment["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"]

    def delay_s(first_second: int) -> int:
        # A failing request every ten seconds.
        points = [{"Timestamp": float(first_second + n), "Value": 1.0} for n in range(0, 1200, 10)]
        minutes = range(first_second // 60, first_second // 60 + 30)
        off = (60 * m for m in minutes if evaluated_state(alarm, points, 60.0 * m) == "ALARM")
        return next(off) - first_second

    slowest = max(delay_s(60_000 + second) for second in range(60))
    assert slowest <= baking_s / 2


def test_sagemaker_may_look_at_the_alarm(aws: Synthesized, variant: str) -> None:
    """Developer guide, deployment-guardrails-configuration: the execution role has to."""
    stack = STACKS[variant]
    endpoint = aws.only(stack, ENDPOINT)
    (watched,) = endpoint["Properties"]["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    role = aws.only(stack, MODEL)["Properties"]["ExecutionRoleArn"]["Fn::GetAtt"][0]
    looking = {
        "Action": "cloudwatch:DescribeAlarms",
        "Resource": {"Fn::GetAtt": [watched["AlarmName"]["Ref"], "Arn"]},
        "Effect": "Allow",
    }
    policy = {"Roles": [{"Ref": role}], "PolicyDocument": {"Statement": [looking]}}
    assert aws.one(stack, "AWS::IAM::Policy", policy)[0] in endpoint["DependsOn"]


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
    assert len({handler for handler, _ in entries}) == 9
    for handler, asset in entries:
        folder = aws.folder / f"asset.{asset}"
        module = handler.removesuffix(".handler")
        code = f"import sys; sys.path.insert(0, {str(folder)!r}); import {module}"
        subprocess.run([sys.executable, "-I", "-c", code], check=True)
