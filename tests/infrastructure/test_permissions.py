"""Least privilege, checked on every policy of every template."""

import re
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.infrastructure.support import ENDPOINT_STACKS as STACKS
from tests.infrastructure.support import (
    G5_ALONE,
    Statement,
    Synthesized,
    listed,
    synthesize,
    text_of,
)
from tests.infrastructure.test_endpoint_stacks import MODEL

PULLING = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
# Actions AWS lets nobody narrow to a resource (Service Authorization Reference: no resource type).
UNSCOPED = {
    "ecr:GetAuthorizationToken": "the token is the account's",
    "cloudwatch:PutMetricData": "metrics have no ARN; a condition names the namespace",
    "sagemaker:ListTrainingJobs": "lists names",
    "cloudwatch:GetMetricStatistics": "metrics have no ARN",
    "application-autoscaling:DescribeScalableTargets": "lists targets",
    "dynamodb:ListStreams": "lists streams, before Lambda reads one",
}
JOBS = r"(sd-compile-inf2-(\w{12}|\?{12})-\?{8}|sd-bulk-\?{32}-\?)"
# Where a name is known at run time only.
OPEN_ENDED = (
    r"<[^>]+>/(weights|compiled|compile-jobs)/.*\*",  # objects of an artifact
    # Pictures, in buckets for nothing else, and what is of batches, in another.
    r"<(SdApiStack:\w+)?Images[^>]+>/\*",
    r"<Pictures[^>]+>/\*",
    r"<Files[^>]+>/(batches/)?\*",
    r"arn:<AWS::Partition>:logs:.*:log-group:/aws/sagemaker/[\w/-]+:log-stream:\*",
    rf"arn:<AWS::Partition>:logs:.*:log-group:/aws/sagemaker/TrainingJobs:log-stream:{JOBS}/\*",
    rf"arn:<AWS::Partition>:sagemaker:.*:training-job/{JOBS}",
    r"arn:<AWS::Partition>:sagemaker:.*:endpoint/sd-\*(-async)?",  # variants come and go
)


@pytest.fixture(scope="module")
def statements(aws: Synthesized) -> list[Statement]:
    return list(aws.statements())


@pytest.fixture(scope="module")
def granted(statements: list[Statement]) -> list[Statement]:
    return [statement for statement in statements if statement.raw["Effect"] == "Allow"]


def test_all_policies_are_looked_at(aws: Synthesized, granted: list[Statement]) -> None:
    """Those within roles and managed ones would be passed over."""
    assert len({(statement.stack, statement.roles) for statement in granted}) > 10
    assert not list(aws.every("AWS::IAM::ManagedPolicy"))
    for _, role in aws.every("AWS::IAM::Role"):
        # Managed ones grow without asking.
        assert "Policies" not in role["Properties"]
        if managed := role["Properties"].get("ManagedPolicyArns"):
            # AWS's own, for what ECS makes in the account's name: express_service.py says why.
            assert [text_of(each).rpartition("/")[2] for each in managed] == [
                "AmazonECSInfrastructureRoleforExpressGatewayServices"
            ]


def test_no_action_is_a_wildcard(statements: list[Statement]) -> None:
    for statement in statements:
        assert "NotAction" not in statement.raw
        for action in statement.actions:
            assert "*" not in action, statement


def test_no_statement_is_for_all_resources_where_aws_has_finer(granted: list[Statement]) -> None:
    for statement in granted:
        if "*" in statement.resources:
            assert set(statement.actions) <= UNSCOPED.keys(), statement
            if "cloudwatch:PutMetricData" in statement.actions:
                namespaces = statement.raw["Condition"]["StringEquals"]["cloudwatch:namespace"]
                assert namespaces, statement


def test_a_star_in_a_resource_stands_for_a_name_known_at_run_time(
    granted: list[Statement],
) -> None:
    for statement in granted:
        for resource in statement.resources:
            # The whole resource is the case above; a log group's own ARN ends in its streams' star.
            if re.search(r"[*?]", resource) and resource != "*":
                assert any(re.fullmatch(pattern, resource) for pattern in OPEN_ENDED), statement


@pytest.mark.parametrize(
    ("action", "endpoints", "others"),
    [
        ("sagemaker:InvokeEndpoint", "sd-*", "sd-*-*"),
        ("sagemaker:InvokeEndpointAsync", "sd-*-async", "sd-*-*-async"),
    ],
)
def test_the_front_door_and_the_worker_can_invoke_our_endpoints_and_nothing_else(
    aws: Synthesized, statements: list[Statement], action: str, endpoints: str, others: str
) -> None:
    """The front door those that answer at once alone."""
    invoking = [s for s in statements if action in s.actions]
    assert {(s.raw["Effect"], s.resources[0].rsplit(":", 1)[1]) for s in invoking} == {
        ("Allow", f"endpoint/{endpoints}"),
        ("Deny", f"endpoint/{others}"),
    }
    front_door = aws.function_role("SdApiStack", "front_door")["Fn::GetAtt"][0]
    worker = aws.function_role("SdBatchStack", "batches.worker")["Fn::GetAtt"][0]
    gallery = [
        aws.function_role("SdGalleryStack", f"gallery.{name}")["Fn::GetAtt"][0]
        for name in ("api", "worker")
    ]
    by = {("SdBatchStack", (worker,)), ("SdApiStack", (front_door,))}
    by |= {("SdGalleryStack", (role,)) for role in gallery}
    if action == "sagemaker:InvokeEndpointAsync":
        by = {("SdBatchStack", (worker,))}
    assert {(s.stack, s.roles) for s in invoking} == by


def test_the_front_door_reads_the_registrations_alone_and_batches_the_fleets_too(
    granted: list[Statement],
) -> None:
    reading = [s for s in granted if any(a.startswith("ssm:") for a in s.actions)]
    assert {s.actions for s in reading} == {("ssm:GetParametersByPath",)}
    registrations, fleets = "parameter/sd/variants", "parameter/sd/fleets"
    assert [(s.stack, [r.rsplit(":", 1)[1] for r in s.resources]) for s in reading] == [
        ("SdApiStack", [registrations]),
        ("SdBatchStack", [registrations, fleets]),
        ("SdBatchStack", [registrations, fleets]),
        ("SdGalleryStack", [registrations]),
        ("SdGalleryStack", [registrations]),
    ]


def test_an_endpoint_reads_its_own_artifact_and_writes_nothing(
    aws: Synthesized, variant: str
) -> None:
    """What SageMaker's guide asks for a model's role (sagemaker-roles, CreateModel API), but for
    making its log group, which is there."""
    role = aws.only(STACKS[variant], MODEL)["Properties"]["ExecutionRoleArn"]
    assert aws.allowed(STACKS[variant], role).keys() == PULLING | {
        "s3:GetObject",
        "s3:ListBucket",
        "kms:Decrypt",
        "ecr:GetAuthorizationToken",
        "logs:CreateLogStream",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
        "cloudwatch:PutMetricData",
        "cloudwatch:DescribeAlarms",
    }


@pytest.mark.parametrize(
    ("stack", "variant"),
    [("SdG5Stack", "g5"), ("SdDjlStack", "djl"), ("SdInf2CompileStack", "inf2")],
)
def test_an_image_build_deletes_in_its_own_repository_and_writes_its_record_alone(
    aws: Synthesized, stack: str, variant: str
) -> None:
    log = {"LogsConfig": {"CloudWatchLogs": {"StreamName": f"image-{variant}"}}}
    project = aws.only(stack, "AWS::CodeBuild::Project", log)["Properties"]
    allowed = aws.allowed(stack, project["ServiceRole"])
    (repository,) = allowed["ecr:BatchDeleteImage"]
    # Of AWS's registry it may pull alone.
    of_aws = [action for action, r in allowed.items() if any(":763104351884:" in x for x in r)]
    assert set(of_aws) == PULLING
    assert allowed["ecr:PutImage"] == [repository]
    (record,) = allowed["s3:PutObject"]
    assert re.search(r"/images/[0-9a-f]{64}\.json$", record)


def test_nothing_may_pass_a_role_but_a_job_s_own(
    aws: Synthesized, granted: list[Statement]
) -> None:
    passing = {s.stack: s for s in granted if "iam:PassRole" in s.actions}
    assert passing.keys() == {"SdInf2CompileStack", "SdBatchStack"}
    for stack, statement in passing.items():
        trust = statement.raw["Condition"]
        assert trust == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        ((role, _),) = (
            (id, role)
            for id, role in aws.resources(stack, "AWS::IAM::Role").items()
            if "sagemaker.amazonaws.com" in str(role)
        )
        assert statement.resources == (f"<{role}.Arn>",)


CONFINED = {f"{name}.amazonaws.com" for name in ("codebuild", "ecs-tasks", "sagemaker")}
UNCONFINED = {f"{name}.amazonaws.com" for name in ("apigateway", "ecs", "lambda")}


def test_service_roles_trust_their_service_for_this_account_alone(aws: Synthesized) -> None:
    """Wherever AWS documents that the service says for which account it acts."""
    seen = set()
    for _, role in aws.every("AWS::IAM::Role"):
        (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        service = trust["Principal"]["Service"]
        seen.add(service)
        if service in CONFINED:
            account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
            assert trust["Condition"] == {"StringEquals": account}
        else:
            assert service in UNCONFINED
            assert "Condition" not in trust
    assert seen >= CONFINED


FOLDERS = "weights|compiled|compile-jobs|images|batches|files|async"


def test_listing_a_bucket_is_for_a_prefix(granted: list[Statement]) -> None:
    for statement in granted:
        if "s3:ListBucket" in statement.actions:
            (condition,) = statement.raw["Condition"].values()
            (prefixes,) = condition.values()
            for prefix in listed(prefixes):
                assert re.match(rf"({FOLDERS})/", prefix), statement


def test_buckets_refuse_plain_http(aws: Synthesized) -> None:
    refusal = {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    buckets = [(stack, id) for stack in aws.templates for id in aws.resources(stack, BUCKET)]
    assert len(buckets) == 4
    for stack, id in buckets:
        policy = aws.only(stack, f"{BUCKET}Policy", {"Bucket": {"Ref": id}})["Properties"]
        assert any(refusal.items() <= s.items() for s in policy["PolicyDocument"]["Statement"])


BUCKET = "AWS::S3::Bucket"
# "sd" and names that could be taken for its own: longer by a word, by one of ours, by letters.
PREFIXES = ("sd", "sd-x", "sd-compile-inf2", "sd-bulk", "sdx", "x-sd")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Synthesized]:
    """Of the app in one account, by prefix."""
    without_djl = {"sd.variants.djl": ""}
    return {
        prefix: synthesize(tmp_path_factory.mktemp(prefix), **{"sd.prefix": prefix}, **without_djl)
        for prefix in PREFIXES
    }


def names_of(copy: Synthesized) -> set[str]:
    """What SageMaker and the parameter store know of it, as ARNs end."""
    names = copy.settings.names
    jobs = [f"{names.jobs('inf2')}{key * 12}-{build * 8}" for key in "0f" for build in "0f"]
    jobs += [f"{names.bulk_jobs}{batch * 32}-1" for batch in "0f"]
    return {
        *(f"endpoint/{variant.endpoint_name}" for variant in copy.settings.variants),
        *(f"endpoint/{variant.async_endpoint_name}" for variant in copy.settings.variants),
        *(f"training-job/{job}" for job in jobs),
        *(f"log-group:/aws/sagemaker/TrainingJobs:log-stream:{job}/algo-1" for job in jobs),
        *(
            f"log-group:{names.container_log(variant.name)}:log-stream:x"
            for variant in copy.settings.variants
        ),
        f"parameter{names.registrations}",
        f"parameter{names.fleets}",
        f"function:{names.batches}",
        f"function:{names.batches}-checker",
    }


def reached(copy: Synthesized, names: set[str]) -> set[str]:
    """But for the group of all training jobs, where all make and see streams."""
    allowed: dict[tuple[object, ...], set[str]] = defaultdict(set)
    denied: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for statement in copy.statements():
        shared = any(action.endswith(("LogStream", "LogStreams")) for action in statement.actions)
        for resource in () if shared else statement.resources:
            pattern = re.sub(r"<[^>]+>", "", resource).split(":", 5)[-1]
            if resource != "*":
                effect = allowed if statement.raw["Effect"] == "Allow" else denied
                fitting = {name for name in names if fnmatchcase(name, pattern)}
                for action in statement.actions:
                    effect[statement.stack, statement.roles, action] |= fitting
    return {name for by, fitting in allowed.items() for name in fitting - denied[by]}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_nothing_of_one_copy_s_reaches_another_s(
    copies: dict[str, Synthesized], prefix: str
) -> None:
    for other, copy in copies.items():
        touched = reached(copies[prefix], names_of(copy))
        if other == prefix:
            assert {name.split("/")[0].split(":")[0] for name in touched} == {
                "endpoint",
                "training-job",
                "log-group",
                "parameter",
                "function",
            }
            assert {name for name in touched if name.startswith("endpoint/")} == {
                name for name in names_of(copy) if name.startswith("endpoint/")
            }
        else:
            assert touched == set(), other


def test_copies_share_no_stack_and_no_name(copies: dict[str, Synthesized]) -> None:
    for kind in (lambda c: set(c.templates), names_of, lambda c: {_api_name(c)}):
        every = [name for copy in copies.values() for name in kind(copy)]
        assert len(every) == len(set(every))
    assert "Sd-XG5Stack" in copies["sd-x"].templates


def _api_name(copy: Synthesized) -> str:
    stack = copy.settings.names.stack("Api")
    return str(copy.only(stack, "AWS::ApiGateway::RestApi")["Properties"]["Name"])


def test_another_copy_imports_nothing_of_this_one(tmp_path: Path) -> None:
    demo = synthesize(tmp_path, **{"sd.prefix": "demo"}, **G5_ALONE)
    assert set(demo.templates) == {
        f"Demo{name}Stack"
        for name in ("Alarms", "Api", "App", "Artifacts", "Batch", "G5", "Gallery", "Storage")
    }
    assert not re.search(r"\bSd[A-Z]|sd-g5|/sd/", str(demo.templates))
