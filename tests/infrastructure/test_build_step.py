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
from aws_cdk.assertions import Match

from build_trigger.builds import Step
from stacks.components.artifacts import Storage
from stacks.components.build_step import (
    STANDARD_IMAGE,
    BuildSpec,
    BuildStep,
    Output,
)
from stacks.components.image_build import MODEL_ASSETS, context_files
from stacks.content import content_key
from stacks.settings import KINDS, Names
from tests.infrastructure.support import Stacks, Synthesized, text_of

RUN, READY = "Custom::BuildStep", "AWS::CloudFormation::WaitCondition"
HANDLE, PROJECT = "AWS::CloudFormation::WaitConditionHandle", "AWS::CodeBuild::Project"
RULE, FUNCTION, POLICY = "AWS::Events::Rule", "AWS::Lambda::Function", "AWS::IAM::Policy"
BUCKET, QUEUE, LOG = "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Logs::LogGroup"
KEY, OTHER_KEY = "a" * 64, "b" * 64
STACK = "Stack"
# Of the log of all builds; the trigger has one of its own.
KEPT = 731


def template(folder: Path, key: str, **changes: Any) -> Stacks:
    """A stack with one step, whose output is in S3 unless `ecr` says otherwise."""
    outdir = str(folder / content_key({"key": key, **changes}, {}))
    app = App(outdir=outdir, builtin_cloud_formation_validation=False)
    stack = Stack(app, STACK, env=Environment(region="us-east-1"))
    bucket = s3.Bucket(stack, "Models")
    output = Output(bucket, f"weights/{key}/manifest.json")
    if changes.pop("ecr", False):
        output = Output(bucket, f"images/{key}.json", ecr.Repository(stack, "Images"), key)
    jobs = changes.pop("jobs", "")
    timeout = Duration.minutes(changes.pop("minutes", 30))
    spec = {"name": "thing", "commands": ["make it"], "timeout": timeout}
    log = logs.LogGroup(stack, "Log", retention=logs.RetentionDays.TWO_YEARS)
    BuildStep(
        stack,
        "Step",
        key=key,
        spec=BuildSpec(**{**spec, **changes}),
        output=output,
        storage=Storage(bucket, kms.Key(stack, "Key"), log, Names("sd")),
        jobs=jobs,
    )
    app.synth()
    return Stacks({STACK: json.loads((Path(app.outdir) / "Stack.template.json").read_text())})


def trigger(step: Stacks) -> dict[str, list[str]]:
    """What it may do: resources by action."""
    return step.allowed(STACK, step.function_role(STACK, "build_trigger"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("step")


@pytest.fixture(scope="module")
def step(folder: Path) -> Stacks:
    return template(folder, KEY)


def test_a_changed_key_is_a_new_run_a_new_handle_and_a_new_wait(folder: Path, step: Stacks) -> None:
    """A wait condition that was met once is met for ever."""
    other = template(folder, OTHER_KEY)
    for type in (RUN, READY, HANDLE):
        assert step.resources(STACK, type).keys().isdisjoint(other.resources(STACK, type))
    resources = step.templates[STACK]["Resources"]
    kept = {name for name, r in resources.items() if r["Type"] not in (RUN, READY, HANDLE)}
    assert kept <= other.templates[STACK]["Resources"].keys()


def test_an_unchanged_key_changes_nothing_that_builds(folder: Path, step: Stacks) -> None:
    other = template(folder, KEY, minutes=60, environment={"NEW": "1"})
    for type in (RUN, HANDLE):
        assert step.resources(STACK, type) == other.resources(STACK, type)


@pytest.mark.parametrize("minutes", [60, 2160])
def test_a_changed_time_limit_changes_no_wait_condition(
    folder: Path, step: Stacks, minutes: int
) -> None:
    """CloudFormation refuses to change one, and the whole update with it."""
    other = template(folder, KEY, minutes=minutes)
    assert other.resources(STACK, READY) == step.resources(STACK, READY)
    assert other.resources(STACK, PROJECT, {"TimeoutInMinutes": minutes})
    # The most it takes: a build that times out should say so, not CloudFormation that nothing came.
    assert step.resources(STACK, READY, {"Timeout": "43200"})


def test_the_run_tells_the_trigger_all_it_needs(step: Stacks) -> None:
    ids = {type: step.one(STACK, type)[0] for type in (HANDLE, PROJECT, BUCKET)}
    told = {
        "Key": KEY,
        "WaitUrl": {"Ref": ids[HANDLE]},
        "Project": {"Ref": ids[PROJECT]},
        "Output": {"Bucket": {"Ref": ids[BUCKET]}, "Manifest": f"weights/{KEY}/manifest.json"},
        # Time for the trigger to try again where the account's builds are in use.
        "ServiceTimeout": "3600",
    }
    assert Step.parse(step.only(STACK, RUN, told)["Properties"]).jobs == ""


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
    run = template(folder, KEY, compute=compute).only(STACK, RUN)
    assert Step.parse(run["Properties"]).quota == quota


def test_a_build_s_jobs_can_be_stopped_by_the_trigger_and_no_others(folder: Path) -> None:
    step = template(folder, KEY, jobs="sd-x-")
    assert Step.parse(step.only(STACK, RUN)["Properties"]).jobs == f"sd-x-{KEY[:12]}-"
    for action in ("Stop", "Describe"):
        (jobs,) = trigger(step)[f"sagemaker:{action}TrainingJob"]
        assert jobs.endswith(f":training-job/sd-x-{'?' * 12}-{'?' * 8}")
    assert trigger(step)["sagemaker:ListTrainingJobs"] == ["*"]
    assert not [a for a in trigger(template(folder, KEY)) if a.startswith("sagemaker:")]


def test_a_rollback_takes_no_leave_to_stop_the_new_key_s_jobs_away(folder: Path) -> None:
    """It first reverts policies, then deletes the run of the new key, which stops its job."""
    old, new = (trigger(template(folder, key, jobs="sd-x-")) for key in (KEY, OTHER_KEY))
    for service in ("sagemaker:", "codebuild:"):
        assert {a: s for a, s in old.items() if a.startswith(service)} == {
            a: s for a, s in new.items() if a.startswith(service)
        }


def test_nothing_starts_before_permissions_and_the_rule_that_hears_of_the_end(
    step: Stacks,
) -> None:
    run, definition = step.one(STACK, RUN)
    before = set(definition["DependsOn"])
    # The build's policies and the trigger's, all of them.
    for type in (POLICY, RULE, "AWS::Lambda::Permission"):
        assert step.resources(STACK, type).keys() <= before
    assert run in step.only(STACK, READY)["DependsOn"]


def test_every_end_of_a_build_is_heard_of(step: Stacks) -> None:
    project, _ = step.one(STACK, PROJECT)
    ends = ["SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"]
    pattern = {
        "source": ["aws.codebuild"],
        "detail-type": ["CodeBuild Build State Change"],
        "detail": {"project-name": [{"Ref": project}], "build-status": ends},
    }
    assert step.resources(STACK, RULE, {"EventPattern": pattern})


def test_an_event_that_could_not_be_handled_is_kept(step: Stacks) -> None:
    """Without it the deploy would wait for half a day, and nobody know why."""
    name, _ = step.one(STACK, QUEUE, {"SqsManagedSseEnabled": True})
    queue = {"Fn::GetAtt": [name, "Arn"]}
    target = {
        "DeadLetterConfig": {"Arn": queue},
        "RetryPolicy": {"MaximumEventAgeInSeconds": 43_200, "MaximumRetryAttempts": 185},
    }
    rule, _ = step.one(STACK, RULE, {"Targets": [Match.object_like(target)]})
    assert step.resources(STACK, FUNCTION, {"DeadLetterConfig": {"TargetArn": queue}})
    assert trigger(step)["sqs:SendMessage"] == [text_of(queue)]
    expected = {
        "Deny": {"Bool": {"aws:SecureTransport": "false"}},
        "Allow": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [rule, "Arn"]}}},
    }
    policy = step.only(STACK, "AWS::SQS::QueuePolicy")["Properties"]["PolicyDocument"]
    assert {s["Effect"]: s["Condition"] for s in policy["Statement"]} == expected


def test_the_trigger_may_go_on_in_another_invocation_while_its_deploy_wants_it(
    step: Stacks,
) -> None:
    name, _ = step.one(STACK, FUNCTION, {"Timeout": 900})
    assert trigger(step)["lambda:InvokeFunction"] == [f"<{name}.Arn>"]
    assert trigger(step)["cloudformation:DescribeStackResource"] == ["<AWS::StackId>"]


def test_a_build_s_log_is_named_by_what_it_builds_and_read_by_the_trigger(step: Stacks) -> None:
    group, _ = step.one(STACK, LOG, {"RetentionInDays": KEPT})
    log = {"CloudWatchLogs": {"GroupName": {"Ref": group}, "StreamName": "thing"}}
    assert step.resources(STACK, PROJECT, {"LogsConfig": log})
    assert trigger(step)["logs:GetLogEvents"] == [f"<{group}.Arn>"]


def buildspec(step: Stacks) -> dict[str, Any]:
    project = step.only(STACK, PROJECT)["Properties"]
    loaded: dict[str, Any] = json.loads(project["Source"]["BuildSpec"])
    return loaded


def test_commands_run_as_they_are_and_python_s_words_come_in_their_order(folder: Path) -> None:
    commands = ["echo 'a b' && make", "true"]
    step = template(folder, KEY, commands=commands)
    assert buildspec(step)["phases"]["build"]["commands"] == commands
    unbuffered = {"Name": "PYTHONUNBUFFERED", "Value": "1", "Type": "PLAINTEXT"}
    environment = {"EnvironmentVariables": Match.array_with([unbuffered])}
    assert step.resources(STACK, PROJECT, {"Environment": environment})


def test_another_image_is_pulled_with_the_role_and_has_its_own_python(folder: Path) -> None:
    step = template(folder, KEY, image="111122223333.dkr.ecr.us-east-1.amazonaws.com/x:1")
    assert step.resources(
        STACK, PROJECT, {"Environment": {"ImagePullCredentialsType": "SERVICE_ROLE"}}
    )
    # CodeBuild refuses runtime-versions in images that aren't its own.
    assert "install" not in buildspec(step)["phases"]


def test_the_standard_image_gets_the_python_we_test_for(step: Stacks) -> None:
    assert step.resources(STACK, PROJECT, {"Environment": {"Image": STANDARD_IMAGE}})
    assert buildspec(step)["phases"]["install"]["runtime-versions"] == {"python": "3.12"}


def test_a_build_may_see_whose_bucket_its_source_is_in(step: Stacks) -> None:
    """CodeBuild's user guide counts these among the least a service role needs."""
    role = step.only(STACK, PROJECT)["Properties"]["ServiceRole"]
    for action in ("s3:GetBucketAcl", "s3:GetBucketLocation"):
        (bucket,) = step.allowed(STACK, role)[action]
        assert "*" not in bucket


@pytest.mark.parametrize("in_ecr", [False, True])
def test_the_trigger_may_touch_this_project_and_see_this_output_only(
    folder: Path, in_ecr: bool
) -> None:
    step = template(folder, KEY, ecr=in_ecr)
    project, _ = step.one(STACK, PROJECT)
    assert trigger(step)["codebuild:StartBuild"] == [f"<{project}.Arn>"]
    if in_ecr:
        repository, _ = step.one(STACK, "AWS::ECR::Repository")
        assert trigger(step)["ecr:DescribeImages"] == [f"<{repository}.Arn>"]
    manifest = f"images/{KEY}.json" if in_ecr else f"weights/{KEY}/manifest.json"
    (listing,) = (s.raw for s in step.statements() if "s3:ListBucket" in s.actions)
    assert listing["Condition"] == {"StringEquals": {"s3:prefix": manifest}}


def test_one_trigger_serves_all_steps_of_a_stack(aws: Synthesized) -> None:
    found = {
        type: len(aws.resources("SdInf2CompileStack", type)) for type in (RUN, FUNCTION, QUEUE)
    }
    assert found == {RUN: 2, FUNCTION: 1, QUEUE: 1}


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
        "stacks/build_scripts/environment.py",
        "stacks/build_scripts/build_image.py",
        "context/g5/Dockerfile",
        "context/sd_contract/model_folder.py",
        "context/sd_serving/server.py",
    ):
        assert (source / name).is_file()
        assert not (source / name).is_symlink()
    assert not (source / "context/tiny").exists()
    assert not list(source.rglob("__pycache__"))


@pytest.mark.parametrize("folder", [kind.folder for kind in KINDS.values()])
def test_an_image_copies_all_that_its_context_brings(folder: str) -> None:
    packages = {name.split("/")[0] for name in context_files(folder)}
    dockerfile = (MODEL_ASSETS / folder / "Dockerfile").read_text()
    assert {name for name in packages if f"COPY {name} /opt/sd/{name}\n" in dockerfile} == packages
