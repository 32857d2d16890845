"""A build within a deploy: what waits for what, and what a changed key changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3

from build_trigger.builds import Step
from stacks.components.build_step import (
    STANDARD_IMAGE,
    BuildSpec,
    BuildStep,
    EcrOutput,
    S3Output,
)
from stacks.components.image_build import MODEL_ASSETS, context_files
from stacks.content import content_key
from stacks.settings import VARIANTS
from tests.infrastructure.support import Synthesized, text_of

RUN, READY = "Custom::BuildStep", "AWS::CloudFormation::WaitCondition"
HANDLE = "AWS::CloudFormation::WaitConditionHandle"
KEY, OTHER_KEY = "a" * 64, "b" * 64


def template(folder: Path, key: str, **changes: Any) -> dict[str, Any]:
    """Of a stack with one step, whose output is in S3 unless `ecr` says otherwise."""
    app = App(outdir=str(folder / content_key({"key": key, **changes}, {})))
    stack = Stack(app, "Stack", env=Environment(region="us-east-1"))
    output: S3Output | EcrOutput
    if changes.pop("ecr", False):
        record = S3Output(s3.Bucket(stack, "Models"), f"images/{key}.json")
        output = EcrOutput(ecr.Repository(stack, "Images"), key, record)
    else:
        output = S3Output(s3.Bucket(stack, "Models"), f"weights/{key}/manifest.json")
    jobs = changes.pop("jobs", "")
    timeout = Duration.minutes(changes.pop("minutes", 30))
    spec = {"name": "thing", "commands": ["make it"], "timeout": timeout}
    BuildStep(
        stack,
        "Step",
        key=key,
        spec=BuildSpec(**{**spec, **changes}),
        output=output,
        encryption_key=kms.Key(stack, "Key"),
        log_group=logs.LogGroup(stack, "Log"),
        jobs=jobs,
    )
    app.synth()
    return json.loads((Path(app.outdir) / "Stack.template.json").read_text())["Resources"]  # type: ignore[no-any-return]


def of_type(resources: dict[str, Any], type: str) -> dict[str, Any]:
    return {name: r for name, r in resources.items() if r["Type"] == type}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("step")


@pytest.fixture(scope="module")
def step(folder: Path) -> dict[str, Any]:
    return template(folder, KEY)


def test_a_changed_key_is_a_new_run_a_new_handle_and_a_new_wait(
    folder: Path, step: dict[str, Any]
) -> None:
    """A wait condition that was met once is met for ever."""
    other = template(folder, OTHER_KEY)
    for type in (RUN, READY, HANDLE):
        assert of_type(step, type).keys().isdisjoint(of_type(other, type))
    kept = {name for name, r in step.items() if r["Type"] not in (RUN, READY, HANDLE)}
    assert kept <= other.keys()


def test_an_unchanged_key_changes_nothing_that_builds(folder: Path, step: dict[str, Any]) -> None:
    other = template(folder, KEY, minutes=60, environment={"NEW": "1"})
    for type in (RUN, HANDLE):
        assert of_type(step, type) == of_type(other, type)


@pytest.mark.parametrize("minutes", [60, 2160])
def test_a_changed_time_limit_changes_no_wait_condition(
    folder: Path, step: dict[str, Any], minutes: int
) -> None:
    """CloudFormation refuses to change one, and the whole update with it."""
    other = template(folder, KEY, minutes=minutes)
    assert of_type(other, READY) == of_type(step, READY)
    (ready,) = of_type(step, READY).values()
    (project,) = of_type(other, "AWS::CodeBuild::Project").values()
    assert project["Properties"]["TimeoutInMinutes"] == minutes
    # The most it takes: a build that times out should say so, not CloudFormation that nothing came.
    assert ready["Properties"]["Timeout"] == "43200"


def test_the_run_tells_the_trigger_all_it_needs(step: dict[str, Any]) -> None:
    (run,) = of_type(step, RUN).values()
    (handle,), (project,) = of_type(step, HANDLE), of_type(step, "AWS::CodeBuild::Project")
    (bucket,) = of_type(step, "AWS::S3::Bucket")
    properties = run["Properties"]
    assert properties["Key"] == KEY
    assert properties["WaitUrl"] == {"Ref": handle}
    assert properties["Project"] == {"Ref": project}
    assert properties["Output"] == {
        "Bucket": {"Ref": bucket},
        "Manifest": f"weights/{KEY}/manifest.json",
    }
    assert Step.parse(properties).jobs == ""
    # Time for the trigger to try again where the account's builds are in use.
    assert properties["ServiceTimeout"] == "3600"


@pytest.mark.parametrize(
    ("compute", "quota"),
    [
        ("BUILD_GENERAL1_SMALL", "Concurrently running builds for Linux/Small environment"),
        ("BUILD_GENERAL1_2XLARGE", "Concurrently running builds for Linux/2XLarge environment"),
    ],
)
def test_the_run_names_the_quota_its_build_counts_for(
    folder: Path, compute: str, quota: str
) -> None:
    (run,) = of_type(template(folder, KEY, compute=compute), RUN).values()
    assert Step.parse(run["Properties"]).quota == quota


def test_a_build_s_jobs_can_be_stopped_by_the_trigger_and_no_others(folder: Path) -> None:
    resources = template(folder, KEY, jobs="sd-x-")
    (run,) = of_type(resources, RUN).values()
    assert Step.parse(run["Properties"]).jobs == f"sd-x-{KEY[:12]}-"
    granted = trigger_policy(resources)
    for action in ("Stop", "Describe"):
        resource = text_of(granted[f"sagemaker:{action}TrainingJob"]["Resource"])
        assert resource.endswith(":training-job/sd-x-*")
    assert granted["sagemaker:ListTrainingJobs"]["Resource"] == "*"
    assert not [a for a in trigger_policy(template(folder, KEY)) if a.startswith("sagemaker:")]


def test_a_rollback_takes_no_leave_to_stop_the_new_key_s_jobs_away(folder: Path) -> None:
    """It first reverts policies, then deletes the run of the new key, which stops its job."""
    old, new = (trigger_policy(template(folder, key, jobs="sd-x-")) for key in (KEY, OTHER_KEY))
    for service in ("sagemaker:", "codebuild:"):
        assert {a: s for a, s in old.items() if a.startswith(service)} == {
            a: s for a, s in new.items() if a.startswith(service)
        }


def trigger_policy(resources: dict[str, Any]) -> dict[str, Any]:
    """Statements by action."""
    return {
        action: statement
        for name, policy in of_type(resources, "AWS::IAM::Policy").items()
        if name.startswith("BuildTrigger")
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
    }


def test_nothing_starts_before_permissions_and_the_rule_that_hears_of_the_end(
    step: dict[str, Any],
) -> None:
    (run,) = of_type(step, RUN).values()
    before = {step[name]["Type"] for name in run["DependsOn"]}
    assert {"AWS::IAM::Policy", "AWS::Events::Rule", "AWS::Lambda::Permission"} <= before
    policies = {name for name in run["DependsOn"] if step[name]["Type"] == "AWS::IAM::Policy"}
    assert policies == of_type(step, "AWS::IAM::Policy").keys()  # the build's and the trigger's
    (ready,) = of_type(step, READY).values()
    assert set(of_type(step, RUN)) <= set(ready["DependsOn"])


def test_every_end_of_a_build_is_heard_of(step: dict[str, Any]) -> None:
    (rule,) = of_type(step, "AWS::Events::Rule").values()
    (project,) = of_type(step, "AWS::CodeBuild::Project")
    pattern = rule["Properties"]["EventPattern"]
    assert pattern["source"] == ["aws.codebuild"]
    assert pattern["detail-type"] == ["CodeBuild Build State Change"]
    assert pattern["detail"]["project-name"] == [{"Ref": project}]
    assert set(pattern["detail"]["build-status"]) == {
        "SUCCEEDED",
        "FAILED",
        "FAULT",
        "STOPPED",
        "TIMED_OUT",
    }


def test_an_event_that_could_not_be_handled_is_kept(step: dict[str, Any]) -> None:
    """Without it the deploy would wait for half a day, and nobody know why."""
    (rule,) = of_type(step, "AWS::Events::Rule").values()
    (name, queue), *more = of_type(step, "AWS::SQS::Queue").items()
    assert more == []
    arn = {"Fn::GetAtt": [name, "Arn"]}
    (target,) = rule["Properties"]["Targets"]
    assert target["DeadLetterConfig"]["Arn"] == arn
    assert target["RetryPolicy"] == {
        "MaximumEventAgeInSeconds": 43_200,
        "MaximumRetryAttempts": 185,
    }
    (function,) = of_type(step, "AWS::Lambda::Function").values()
    assert function["Properties"]["DeadLetterConfig"]["TargetArn"] == arn
    assert trigger_policy(step)["sqs:SendMessage"]["Resource"] == arn
    assert queue["Properties"]["SqsManagedSseEnabled"] is True
    (policy,) = of_type(step, "AWS::SQS::QueuePolicy").values()
    allowed, denied = {}, []
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        if statement["Effect"] == "Deny":
            denied.append(statement["Condition"])
        else:
            allowed[statement["Principal"]["Service"]] = statement["Condition"]
    assert denied == [{"Bool": {"aws:SecureTransport": "false"}}]
    (rule_name,) = of_type(step, "AWS::Events::Rule")
    expected = {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [rule_name, "Arn"]}}}
    assert allowed == {"events.amazonaws.com": expected}


def test_the_trigger_may_go_on_in_another_invocation_while_its_deploy_wants_it(
    step: dict[str, Any],
) -> None:
    granted = trigger_policy(step)
    (function,) = of_type(step, "AWS::Lambda::Function")
    assert granted["lambda:InvokeFunction"]["Resource"] == {"Fn::GetAtt": [function, "Arn"]}
    looking = granted["cloudformation:DescribeStackResource"]
    assert looking["Resource"] == {"Ref": "AWS::StackId"}
    assert step[function]["Properties"]["Timeout"] == 900


def test_a_build_s_log_is_named_by_what_it_builds(step: dict[str, Any]) -> None:
    (project,) = of_type(step, "AWS::CodeBuild::Project").values()
    log = project["Properties"]["LogsConfig"]["CloudWatchLogs"]
    (group,) = (name for name in of_type(step, "AWS::Logs::LogGroup") if name.startswith("Log"))
    assert (log["GroupName"], log["StreamName"]) == ({"Ref": group}, "thing")


def buildspec(resources: dict[str, Any]) -> dict[str, Any]:
    (project,) = of_type(resources, "AWS::CodeBuild::Project").values()
    loaded: dict[str, Any] = json.loads(project["Properties"]["Source"]["BuildSpec"])
    return loaded


def test_commands_run_logged_and_the_last_phase_signals(folder: Path) -> None:
    phases = buildspec(template(folder, KEY, commands=["echo 'a b' && make", "true"]))["phases"]
    assert phases["build"]["commands"] == [
        "python3 stacks/build_scripts/run_logged.py 'echo '\"'\"'a b'\"'\"' && make'",
        "python3 stacks/build_scripts/run_logged.py true",
    ]
    # CodeBuild runs post_build after a failed build phase too.
    assert phases["post_build"]["commands"] == ["python3 stacks/build_scripts/send_signal.py"]


def test_another_image_is_pulled_with_the_role_and_has_its_own_python(folder: Path) -> None:
    resources = template(folder, KEY, image="111122223333.dkr.ecr.us-east-1.amazonaws.com/x:1")
    (project,) = of_type(resources, "AWS::CodeBuild::Project").values()
    assert project["Properties"]["Environment"]["ImagePullCredentialsType"] == "SERVICE_ROLE"
    # CodeBuild refuses runtime-versions in images that aren't its own.
    assert "install" not in buildspec(resources)["phases"]


def test_the_standard_image_gets_the_python_we_test_for(step: dict[str, Any]) -> None:
    (project,) = of_type(step, "AWS::CodeBuild::Project").values()
    assert project["Properties"]["Environment"]["Image"] == STANDARD_IMAGE
    assert buildspec(step)["phases"]["install"]["runtime-versions"] == {"python": "3.12"}


def test_a_build_may_see_whose_bucket_its_source_is_in(step: dict[str, Any]) -> None:
    """CodeBuild's user guide counts these among the least a service role needs."""
    (statement,) = [
        statement
        for policy in of_type(step, "AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "s3:GetBucketLocation" in statement["Action"]
    ]
    assert statement["Action"] == ["s3:GetBucketAcl", "s3:GetBucketLocation"]
    assert "*" not in text_of(statement["Resource"])


def test_the_trigger_may_touch_this_project_and_see_this_output_only(folder: Path) -> None:
    for in_ecr in (False, True):
        resources = template(folder, KEY, ecr=in_ecr)
        by_action = trigger_policy(resources)
        (project,) = of_type(resources, "AWS::CodeBuild::Project")
        assert by_action["codebuild:StartBuild"]["Resource"] == {"Fn::GetAtt": [project, "Arn"]}
        if in_ecr:
            (repository,) = of_type(resources, "AWS::ECR::Repository")
            seen = by_action["ecr:DescribeImages"]
            assert seen["Resource"] == {"Fn::GetAtt": [repository, "Arn"]}
        manifest = f"images/{KEY}.json" if in_ecr else f"weights/{KEY}/manifest.json"
        condition = by_action["s3:ListBucket"]["Condition"]
        assert condition == {"StringEquals": {"s3:prefix": manifest}}


def test_one_trigger_serves_all_steps_of_a_stack(aws: Synthesized) -> None:
    assert len(aws.resources("SdInf2CompileStack", RUN)) == 2
    assert len(aws.resources("SdInf2CompileStack", "AWS::Lambda::Function")) == 1
    assert len(aws.resources("SdInf2CompileStack", "AWS::SQS::Queue")) == 1


def test_a_build_finds_its_scripts_and_files_where_it_looks(aws: Synthesized) -> None:
    """The commands name modules and folders; here is the source they will be run in."""
    assets = json.loads((aws.folder / "SdG5Stack.assets.json").read_text())["files"]
    sources = [
        aws.folder / entry["source"]["path"]
        for entry in assets.values()
        if entry["source"]["packaging"] == "zip"
    ]
    (source,) = [path for path in sources if (path / "context").is_dir()]
    for name in (
        "stacks/__init__.py",
        "stacks/build_scripts/run_logged.py",
        "stacks/build_scripts/send_signal.py",
        "stacks/build_scripts/build_image.py",
        "context/g5/Dockerfile",
        "context/sd_contract/model_folder.py",
        "context/sd_serving/server.py",
    ):
        assert (source / name).is_file()
        assert not (source / name).is_symlink()
    assert not (source / "context/tiny").exists()
    assert not list(source.rglob("__pycache__"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_copies_all_that_its_context_brings(variant: str) -> None:
    packages = {name.split("/")[0] for name in context_files(variant)}
    dockerfile = (MODEL_ASSETS / variant / "Dockerfile").read_text()
    assert {name for name in packages if f"COPY {name} /opt/sd/{name}\n" in dockerfile} == packages
