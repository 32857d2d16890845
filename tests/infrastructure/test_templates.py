"""What holds for every template: checks pass, nothing is fixed that mustn't be, profiles agree."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from sd_contract.gallery import index_name
from tests.infrastructure.support import G5_ALONE, Synthesized, masked, synthesize, validated

STACKS = (
    "SdAlarmsStack",
    "SdApiStack",
    "SdAppStack",
    "SdArtifactsStack",
    "SdBatchStack",
    "SdDjlStack",
    "SdG5Stack",
    "SdGalleryStack",
    "SdInf2CompileStack",
    "SdInf2Stack",
    "SdStorageStack",
)


@pytest.mark.parametrize("stack", STACKS)
def test_the_template_is_as_reviewed(
    aws: Synthesized, stack: str, snapshot: SnapshotAssertion
) -> None:
    """After a change that is meant: make snapshot."""
    assert masked(aws.templates[stack]) == snapshot.use_extension(JSONSnapshotExtension)


def test_these_are_all_stacks(aws: Synthesized) -> None:
    assert sorted(aws.templates) == list(STACKS)


def test_the_checks_find_nothing(aws: Synthesized) -> None:
    """cdk-nag would have stopped the synthesis; CDK's own validation warns, in the report alone."""
    assert findings(aws.folder) == {}


def test_the_checks_tell_and_cdk_nag_stops_the_synthesis(tmp_path: Path) -> None:
    def add_faults(app: App) -> None:
        validated(app)
        stack = Stack.of(app.node.find_child("SdApiStack"))
        s3.Bucket(stack, "Open")
        queue = sqs.Queue(stack, "Lone", enforce_ssl=True).node.default_child
        assert isinstance(queue, sqs.CfnQueue)
        queue.add_property_override("QueueNam", "lone")

    with pytest.raises(RuntimeError, match="SdApiStack/Open/Resource"):
        synthesize(tmp_path, add_faults, **G5_ALONE)
    assert findings(tmp_path) == {
        "AwsSolutions": {"AwsSolutions-S1", "AwsSolutions-S10", "AwsSolutions-SQS3"},
        "Serverless": {"Serverless-SQSRedrivePolicy"},
        "CloudFormation Validate": {"F3002"},
    }


def findings(folder: Path) -> dict[str, set[str]]:
    """Rules by checker."""
    report = json.loads((folder / "validation-report.json").read_text())
    return {
        checker["pluginName"]: {violation["ruleName"] for violation in checker["violations"]}
        for checker in report["pluginReports"]
    }


def test_what_differs_locally_follows_from_the_profile(
    aws: Synthesized, local: Synthesized
) -> None:
    """The same resources under the same names with the same properties; these values may differ,
    by place: any other would be a template of its own."""
    differing = set()
    for stack in STACKS:
        ours, theirs = (masked(each.templates[stack]) for each in (aws, local))
        for part in ("Resources", "Outputs"):
            assert ours.get(part, {}).keys() == theirs.get(part, {}).keys()
        for name, resource in ours["Resources"].items():
            differing |= {
                f"{stack}/{resource['Type']}/{place.removeprefix('Properties/')}"
                for place in differences(resource, theirs["Resources"][name])
            }
    assert differing == {
        "SdArtifactsStack/AWS::CodeBuild::Project/Environment/EnvironmentVariables/SD_LICENSE",
        "SdArtifactsStack/AWS::CodeBuild::Project/Environment/EnvironmentVariables/SD_MODEL_ID",
        "SdArtifactsStack/AWS::CodeBuild::Project/Environment/EnvironmentVariables/SD_REVISION",
        "SdArtifactsStack/AWS::CodeBuild::Project/Environment/EnvironmentVariables/SD_SOURCE",
        "SdBatchStack/AWS::Lambda::Function/Environment/Variables/SD_BATCH_REAL_TIME_SHARE",
        "SdBatchStack/AWS::Lambda::Function/Timeout",
        "SdBatchStack/AWS::SQS::Queue/VisibilityTimeout",
        "SdGalleryStack/AWS::S3Vectors::Index/Dimension",
        "SdGalleryStack/AWS::S3Vectors::Index/IndexName",
        "SdInf2CompileStack/AWS::CodeBuild::Project/Environment/EnvironmentVariables/SD_HYPERPARAMETERS",
        "SdInf2CompileStack/AWS::CodeBuild::Project/Environment/EnvironmentVariables/SD_POLL_S",
        *(
            f"Sd{variant}Stack/AWS::SageMaker::Model/PrimaryContainer/Environment/{name}"
            for variant in ("G5", "Djl", "Inf2")
            for name in ("SD_DEFAULT_GUIDANCE", "SD_DTYPE", "SD_MODES", "SD_SIZES")
        ),
        "SdG5Stack/AWS::SageMaker::Model/PrimaryContainer/Environment/SD_LEVERS",
        "SdDjlStack/AWS::SageMaker::Model/PrimaryContainer/Environment/OPTION_ACCELERATION",
        "SdInf2Stack/AWS::SageMaker::Model/PrimaryContainer/Environment/SD_COMPILE_BACKEND",
        *(
            f"Sd{variant}Stack/{place}"
            for variant in ("G5", "Djl", "Inf2")
            for place in (
                "AWS::SSM::Parameter/Value/Fn::Join",
                # Of the latency: steps and the seconds of one are the variant's own.
                "AWS::CloudWatch::Alarm/AlarmDescription",
                "AWS::CloudWatch::Alarm/Threshold",
            )
        ),
    }


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    if isinstance(one, dict) and one.keys() == {"Name", "Type", "Value"}:  # of a build
        one, other = {one["Name"]: one["Value"]}, {other["Name"]: other["Value"]}
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            yield from differences(one.get(name), other.get(name), f"{path}/{name}".strip("/"))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for inner, counterpart in zip(one, other, strict=True):
            yield from differences(inner, counterpart, path)
    elif one != other:
        yield path


def test_no_account_is_written_down(aws: Synthesized) -> None:
    """A template serves whoever deploys it; the one account in it is that of AWS's containers."""
    for stack, template in aws.templates.items():
        accounts = set(re.findall(r"(?<![\w-])\d{12}(?![\w-])", json.dumps(template)))
        assert accounts <= {"763104351884"}, stack


def test_only_what_is_found_by_its_name_has_a_fixed_one(aws: Synthesized) -> None:
    """A fixed name breaks replacement, and the deploy after a destroy where something is kept."""
    model = aws.settings.models["sd21-base"]
    named = {
        (resource["Type"], value)
        for template in aws.templates.values()
        for resource in template["Resources"].values()
        for field, value in resource.get("Properties", {}).items()
        if field.endswith("Name")
        and isinstance(value, str)
        # A policy's name is its role's alone, a stage's its API's, a metric's no resource.
        and field not in ("PolicyName", "StageName", "MetricName")
    }
    assert named == {
        *(("AWS::SageMaker::Endpoint", f"sd-{v}") for v in ("g5", "djl", "inf2")),
        *(("AWS::SSM::Parameter", f"/sd/variants/{v}") for v in ("g5", "djl", "inf2")),
        *(("AWS::SSM::Parameter", f"/sd/fleets/{v}") for v in ("g5", "djl", "inf2")),
        # By every alarm, whose stacks come and go without the topic's.
        ("AWS::SNS::Topic", "sd-alarms"),
        ("AWS::CloudWatch::Dashboard", "sd-us-east-1"),
        # By the API, whose stack comes first, and by itself.
        ("AWS::Lambda::Function", "sd-batches"),
        ("AWS::Lambda::Function", "sd-batches-checker"),
        ("AWS::Lambda::Function", "sd-gallery"),
        ("AWS::SQS::Queue", "sd-gallery"),
        # By what a registration says of the variant's model; another revision has another.
        ("AWS::S3Vectors::Index", index_name(model.id, str(model.revision))),
        *(
            ("AWS::Logs::LogGroup", f"/aws/sagemaker/Endpoints/sd-{v}")
            for v in ("g5", "djl", "inf2")
        ),
        # Not unique: two APIs may have it, and one of that name in each.
        ("AWS::ApiGateway::RestApi", "sd"),
        ("AWS::ApiGateway::Authorizer", "keys"),
    }


@pytest.mark.parametrize(
    ("stack", "needs"),
    [
        ("SdG5Stack", {"SdArtifactsStack", "SdApiStack", "SdBatchStack", "SdStorageStack"}),
        ("SdDjlStack", {"SdArtifactsStack", "SdApiStack", "SdBatchStack", "SdStorageStack"}),
        (
            "SdInf2Stack",
            {
                "SdArtifactsStack",
                "SdApiStack",
                "SdBatchStack",
                "SdInf2CompileStack",
                "SdStorageStack",
            },
        ),
        ("SdBatchStack", {"SdApiStack", "SdStorageStack"}),
        ("SdGalleryStack", {"SdApiStack"}),
        ("SdInf2CompileStack", {"SdArtifactsStack", "SdStorageStack"}),
        ("SdApiStack", {"SdAlarmsStack"}),
        ("SdArtifactsStack", {"SdAlarmsStack", "SdStorageStack"}),
        ("SdAlarmsStack", set()),
        ("SdStorageStack", set()),
    ],
)
def test_deploying_a_stack_brings_along_what_it_needs(
    aws: Synthesized, stack: str, needs: set[str]
) -> None:
    assert aws.dependencies[stack] == needs


def test_another_synthesis_gives_the_same_templates(aws: Synthesized, tmp_path: Path) -> None:
    """Content keys come from content: not from times, or what Python left in __pycache__."""
    again = synthesize(tmp_path, **G5_ALONE)
    assert set(again.templates) == {
        "SdAlarmsStack",
        "SdApiStack",
        "SdAppStack",
        "SdArtifactsStack",
        "SdBatchStack",
        "SdG5Stack",
        "SdGalleryStack",
        "SdStorageStack",
    }
    assert again.templates["SdG5Stack"] == aws.templates["SdG5Stack"]
