"""Least privilege, checked on every policy of every template."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.infrastructure.support import ENDPOINT_STACKS as STACKS
from tests.infrastructure.support import G5_ALONE, Statement, Synthesized, listed, synthesize
from tests.infrastructure.test_endpoint_stacks import MODEL

PULLING = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
# Actions AWS lets nobody narrow to a resource (Service Authorization Reference: no resource type).
UNSCOPED = {
    "ecr:GetAuthorizationToken": "the token is the account's",
    "cloudwatch:PutMetricData": "metrics have no ARN; a condition names the namespace",
    "sagemaker:ListTrainingJobs": "lists names",
}
JOBS = r"sd-compile-inf2-(\w{12}|\?{12})-\?{8}"
# Where a name is known at run time only.
OPEN_ENDED = (
    r"<[^>]+>/(weights|compiled|compile-jobs)/.*\*",  # objects of an artifact
    r"<Images[^>]+>/\*",  # pictures, in a bucket for nothing else
    r"arn:<AWS::Partition>:logs:.*:log-group:/aws/sagemaker/[\w/-]+:log-stream:\*",
    rf"arn:<AWS::Partition>:logs:.*:log-group:/aws/sagemaker/TrainingJobs:log-stream:{JOBS}/\*",
    rf"arn:<AWS::Partition>:sagemaker:.*:training-job/{JOBS}",
    r"arn:<AWS::Partition>:sagemaker:.*:endpoint/sd-\*",  # variants come and go
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
        assert not {"Policies", "ManagedPolicyArns"} & role["Properties"].keys()


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


def test_the_front_door_can_invoke_our_endpoints_and_nothing_else(
    aws: Synthesized, statements: list[Statement]
) -> None:
    invoking = [s for s in statements if "sagemaker:InvokeEndpoint" in s.actions]
    assert {(s.raw["Effect"], s.resources[0].rsplit(":", 1)[1]) for s in invoking} == {
        ("Allow", "endpoint/sd-*"),
        ("Deny", "endpoint/sd-*-*"),
    }
    role = aws.function_role("SdApiStack", "front_door")["Fn::GetAtt"][0]
    assert {(s.stack, s.roles) for s in invoking} == {("SdApiStack", (role,))}


def test_the_front_door_reads_the_registrations_alone(granted: list[Statement]) -> None:
    (reading,) = [s for s in granted if any(a.startswith("ssm:") for a in s.actions)]
    assert reading.actions == ("ssm:GetParametersByPath",)
    assert [r.rsplit(":", 1)[1] for r in reading.resources] == ["parameter/sd/variants"]


def test_an_endpoint_reads_its_own_artifact_and_writes_nothing(
    aws: Synthesized, variant: str
) -> None:
    role = aws.only(STACKS[variant], MODEL)["Properties"]["ExecutionRoleArn"]
    assert aws.allowed(STACKS[variant], role).keys() == PULLING | {
        "s3:GetObject",
        "s3:ListBucket",
        "kms:Decrypt",
        "ecr:GetAuthorizationToken",
        "logs:CreateLogStream",
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


def test_nothing_may_pass_a_role_but_the_compile_its_own(granted: list[Statement]) -> None:
    (passing,) = [s for s in granted if "iam:PassRole" in s.actions]
    assert passing.stack == "SdInf2CompileStack"
    assert passing.raw["Condition"] == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }


def test_service_roles_trust_their_service_for_this_account_alone(aws: Synthesized) -> None:
    """Wherever AWS documents that the service says for which account it acts."""
    seen = set()
    for _, role in aws.every("AWS::IAM::Role"):
        (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        service = trust["Principal"]["Service"]
        seen.add(service)
        if service in ("codebuild.amazonaws.com", "sagemaker.amazonaws.com"):
            account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
            assert trust["Condition"] == {"StringEquals": account}
        else:
            assert service in ("lambda.amazonaws.com", "apigateway.amazonaws.com")
            assert "Condition" not in trust
    assert {"codebuild.amazonaws.com", "sagemaker.amazonaws.com"} <= seen


def test_listing_a_bucket_is_for_a_prefix(granted: list[Statement]) -> None:
    for statement in granted:
        if "s3:ListBucket" in statement.actions:
            (condition,) = statement.raw["Condition"].values()
            (prefixes,) = condition.values()
            for prefix in listed(prefixes):
                assert re.match(r"(weights|compiled|compile-jobs|images)/", prefix), statement


def test_buckets_refuse_plain_http(aws: Synthesized) -> None:
    refusal = {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    buckets = [(stack, id) for stack in aws.templates for id in aws.resources(stack, BUCKET)]
    assert len(buckets) == 2
    for stack, id in buckets:
        policy = aws.only(stack, f"{BUCKET}Policy", {"Bucket": {"Ref": id}})["Properties"]
        assert any(refusal.items() <= s.items() for s in policy["PolicyDocument"]["Statement"])


BUCKET = "AWS::S3::Bucket"
# "sd" and names that could be taken for its own: longer by a word, by one of ours, by letters.
PREFIXES = ("sd", "sd-x", "sd-compile-inf2", "sdx", "x-sd")


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
    return {
        *(f"endpoint/{variant.endpoint_name}" for variant in copy.settings.variants),
        *(f"training-job/{job}" for job in jobs),
        *(f"log-group:/aws/sagemaker/TrainingJobs:log-stream:{job}/algo-1" for job in jobs),
        *(f"log-group:{variant.log_group}:log-stream:x" for variant in copy.settings.variants),
        f"parameter{names.registrations}",
    }


def reached(copy: Synthesized, names: set[str]) -> set[str]:
    """But for the group of all training jobs, where all make and see streams."""
    found: dict[str, set[str]] = {"Allow": set(), "Deny": set()}
    for statement in copy.statements():
        shared = any(action.endswith(("LogStream", "LogStreams")) for action in statement.actions)
        for resource in () if shared else statement.resources:
            pattern = re.sub(r"<[^>]+>", "", resource).split(":", 5)[-1]
            if resource != "*":
                effect = found[statement.raw["Effect"]]
                effect |= {name for name in names if fnmatchcase(name, pattern)}
    return found["Allow"] - found["Deny"]


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
    assert set(demo.templates) == {f"Demo{n}Stack" for n in ("Api", "Artifacts", "G5", "Storage")}
    assert not re.search(r"\bSd[A-Z]|sd-g5|/sd/", str(demo.templates))
