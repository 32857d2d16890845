"""Signing: nothing of it unless it is asked for; then a key's signatures, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cfnlint.api import lint_by_config
from cfnlint.config import ManualArgs

from front_door.config import Config
from stacks.settings import ROOT
from tests.infrastructure.support import (
    G5_ALONE,
    SIGNING,
    SIGNING_KEY,
    Resource,
    Synthesized,
    masked,
    synthesize,
    text_of,
    variables,
)
from tests.infrastructure.test_aws_models import LINT_LEFT

STACK = "SdApiStack"
FUNCTION, LAYER = "AWS::Lambda::Function", "AWS::Lambda::LayerVersion"
CHECK, READY = "Custom::ContentCredentialsCheck", "AWS::CloudFormation::WaitCondition"
SIGNER = {"Handler": "content_credentials.handler.handler"}
FRONT_DOOR = {"Handler": "front_door.handler.handler"}
TRACED = {"sd.api.tracing": "true", "sd.api.c2pa.timestamp_url": "http://timestamp.example.com"}


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """cdk-nag has found nothing in it, or it wouldn't synthesize."""
    return synthesize(tmp_path_factory.mktemp("signing"), **SIGNING, **G5_ALONE)


def environment(app: Synthesized, function: dict[str, str]) -> dict[str, str]:
    found = app.only(STACK, FUNCTION, function)["Properties"]["Environment"]["Variables"]
    return {name: text_of(value) for name, value in found.items()}


def invoked(app: Synthesized) -> list[str]:
    """What the front door may invoke, beside the gallery's function."""
    role = app.function_role(STACK, "front_door")["Fn::GetAtt"][0]
    mine = [each for each in app.statements() if each.stack == STACK and role in each.roles]
    return [
        resource
        for each in mine
        if "lambda:InvokeFunction" in each.actions
        for resource in each.resources
        if not resource.endswith(":function:sd-gallery")
    ]


def waits_for(app: Synthesized, resource: Resource) -> set[str]:
    """All that CloudFormation makes before it, by logical ids."""
    resources = app.templates[STACK]["Resources"]
    found: set[str] = set()
    left = [resource]
    while left:
        text = json.dumps(left.pop())
        names = set(re.findall(r'"(\w+)"', text)) & resources.keys() - found
        found |= names
        left += [resources[name] for name in names]
    return found


def test_nothing_of_it_is_there_by_default(aws: Synthesized) -> None:
    assert aws.dependencies[STACK] == {"SdAlarmsStack"}
    assert not aws.resources(STACK, FUNCTION, SIGNER)
    assert not aws.resources(STACK, LAYER)
    assert "SD_SIGNING_FUNCTION" not in environment(aws, FRONT_DOOR)
    assert not any("kms:Sign" in each.actions for each in aws.statements())
    assert invoked(aws) == []


def test_the_signer_may_sign_with_that_key_and_nothing_else(signing: Synthesized) -> None:
    allowed = signing.allowed(STACK, signing.function_role(STACK, "content_credentials"))
    assert allowed.pop("kms:Sign") == [SIGNING_KEY]
    (objects,) = {*allowed.pop("s3:GetObject"), *allowed.pop("s3:PutObject")}
    assert re.fullmatch(r"<Images\w+\.Arn>/signing/\*", objects)
    assert allowed.keys() == {"logs:CreateLogStream", "logs:PutLogEvents"}
    # And nobody else may sign.
    holders = [each.roles for each in signing.statements() if "kms:Sign" in each.actions]
    assert len(holders) == 1


def test_the_front_door_may_invoke_the_signer_and_no_other_function(signing: Synthesized) -> None:
    name, _ = signing.one(STACK, FUNCTION, SIGNER)
    assert invoked(signing) == [f"<{name}.Arn>"]
    assert environment(signing, FRONT_DOOR)["SD_SIGNING_FUNCTION"] == f"<{name}>"
    plain = environment(signing, FRONT_DOOR)
    del plain["SD_SIGNING_FUNCTION"]
    told = Config.from_env(environment(signing, FRONT_DOOR))
    assert told.endpoint_timeout_s < Config.from_env(plain).endpoint_timeout_s
    # The same bucket on both sides.
    assert environment(signing, SIGNER)["SD_PICTURE_BUCKET"] == plain["SD_PICTURE_BUCKET"]


def test_batches_pictures_are_signed_by_the_same_function(signing: Synthesized) -> None:
    """Whoever stores them has it sign them: two functions, and the bulk job's container, which the
    worker tells."""
    stack = "SdBatchStack"
    name = signing.only(STACK, FUNCTION, SIGNER)["Properties"]["FunctionName"]
    for function in signing.resources(stack, FUNCTION).values():
        assert function["Properties"]["Environment"]["Variables"]["SD_SIGNING_FUNCTION"] == name
    mine = [each for each in signing.statements() if each.stack == stack]
    invoking = {
        role
        for each in mine
        for role in each.roles
        if any(resource.endswith(f":function:{name}") for resource in each.resources)
    }
    passing = {
        role
        for each in mine
        for role in each.roles
        if any(resource.endswith("/signing/*") for resource in each.resources)
    }
    assert invoking == passing
    assert sorted(re.sub("[0-9A-F]{8}$", "", role) for role in invoking) == [
        "BulkJobRole",
        "FunctionsAnsweredRole",
        "FunctionsWorkerRole",
    ]


def test_signing_may_be_turned_off_again(signing: Synthesized, aws: Synthesized) -> None:
    """The function is found by its name: CloudFormation takes away no export that is in use, and
    the API's stack is updated before that of the batches."""
    with_it, without = (
        {name for name in app.templates[STACK]["Outputs"] if name.startswith("Exports")}
        for app in (signing, aws)
    )
    assert with_it == without


def test_the_front_door_signs_once_that_is_seen_to_work(signing: Synthesized) -> None:
    check, tried = signing.one(STACK, CHECK)
    assert check in waits_for(signing, signing.only(STACK, FUNCTION, FRONT_DOOR))
    signer, _ = signing.one(STACK, FUNCTION, SIGNER)
    policies = {
        name
        for name, policy in signing.resources(STACK, "AWS::IAM::Policy").items()
        if SIGNING_KEY in json.dumps(policy)
    }
    before = waits_for(signing, tried)
    assert {signer} | policies <= before
    (layer,) = signing.resources(STACK, LAYER)
    (ready,) = signing.resources(STACK, READY)
    assert {layer, ready} <= before


def test_the_layer_is_what_the_build_makes(signing: Synthesized) -> None:
    _, layer = signing.one(STACK, LAYER)
    content = {name: text_of(v) for name, v in layer["Properties"]["Content"].items()}
    project = signing.only(STACK, "AWS::CodeBuild::Project")
    told = variables(project)
    assert (told["SD_BUCKET"], told["SD_LAYER"]) == (content["S3Bucket"], content["S3Key"])
    assert (ROOT / told["SD_REQUIREMENTS"]).exists()
    # Wheels for the machine that the function runs on.
    function = signing.only(STACK, FUNCTION, SIGNER)["Properties"]
    assert told["PIP_PLATFORM"].endswith("_aarch64")
    assert function["Architectures"] == layer["Properties"]["CompatibleArchitectures"] == ["arm64"]
    allowed = signing.allowed(STACK, project["Properties"]["ServiceRole"])
    (written,) = allowed["s3:PutObject"]
    assert written.endswith(f"/{content['S3Key']}")


def asset(app: Synthesized, function: dict[str, str]) -> Path:
    key = app.only(STACK, FUNCTION, function)["Properties"]["Code"]["S3Key"]
    return app.folder / f"asset.{key.removesuffix('.zip')}"


def test_the_chain_is_beside_the_code_that_reads_it(signing: Synthesized) -> None:
    chain = asset(signing, SIGNER) / "content_credentials" / "chain.pem"
    given = ROOT / SIGNING["sd.api.c2pa.certificate_chain"]
    assert chain.read_text() == given.read_text()
    assert (asset(signing, SIGNER) / "sd_contract" / "signing.py").exists()
    assert not (asset(signing, FRONT_DOOR) / "content_credentials").exists()


def test_a_new_chain_is_tried_anew(signing: Synthesized, tmp_path: Path) -> None:
    given = ROOT / SIGNING["sd.api.c2pa.certificate_chain"]
    other = tmp_path / "other.pem"
    other.write_text(given.read_text() + "\n")
    changed = synthesize(
        tmp_path / "out",
        **{**SIGNING, "sd.api.c2pa.certificate_chain": str(other)},
        **G5_ALONE,
    )
    (was, now) = (each.only(STACK, CHECK)["Properties"] for each in (signing, changed))
    assert {name for name in was if was[name] != now[name]} == {"CertificateChain"}


def test_other_stacks_are_as_without_it(signing: Synthesized, aws: Synthesized) -> None:
    """So it can be turned on and off by a deploy of the API's stack."""
    for stack in ("SdStorageStack", "SdArtifactsStack", "SdG5Stack"):
        assert masked(signing.templates[stack]) == masked(aws.templates[stack])


def test_cfn_lint_and_cdk_nag_leave_nothing_open(tmp_path: Path) -> None:
    synthesize(tmp_path, **SIGNING, **TRACED, **G5_ALONE)
    arguments = ManualArgs(
        templates=[str(tmp_path / f"{STACK}.template.json")], regions=["us-east-1"]
    )
    arguments["ignore_checks"] = list(LINT_LEFT)
    assert [f"{match.filename}: {match}" for match in lint_by_config(arguments)] == []
