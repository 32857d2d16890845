"""`make preflight`: nothing false on a sound account, and each fault found before the deploy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from local_cloud.child import ChildCloud
from operations.__main__ import main
from operations.preflight.checks import Preflight
from operations.preflight.cost import cost
from operations.preflight.finding import Finding, Verdict
from operations.preflight.leftovers import stuck
from operations.preflight.plan import Fleet, NoSuchStack, Plan, read_plan
from operations.preflight.quotas import Quotas, endpoint_quotas
from stacks.components.weights import weights_key
from stacks.settings import Settings, load
from stacks.settings.scaling import SCHEDULE_EXAMPLE
from tests.fakes.accounts import SOUND_MODEL, WithoutCredentials, clients_with, hub
from tests.fakes.local_account import client_of_user, fault, wait_for
from tests.fakes.toy_endpoint import ToyEndpoint, make_toy
from tests.infrastructure.support import CONTEXT, G5_ALONE, Synthesized, synthesize

BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"
ENDPOINTS = "ml.g5.xlarge for endpoint usage"
COMPILES = "ml.trn1.2xlarge for training job usage"
SPOT = "ml.g5.xlarge for spot training job usage"
IMAGES = "Concurrently running builds for Linux/Large environment"
BASE = "huggingface-pytorch-inference"
Hub = Callable[[str], BinaryIO]


@pytest.fixture(scope="module")
def cloud() -> Iterator[ChildCloud]:
    """A sound account: bootstrapped, with enough of everything, and empty otherwise."""
    with ChildCloud() as running:
        running.client("ssm").put_parameter(Name=BOOTSTRAP, Value="28", Type="String")
        make_toy(running)
        yield running


@pytest.fixture(scope="module")
def plan(aws: Synthesized) -> Plan:
    return read_plan(aws.folder)


def run(
    cloud: ChildCloud,
    plan: Plan,
    *,
    transport: Hub | None = None,
    clients: Callable[[str], Any] | None = None,
    settings: Settings | None = None,
) -> list[Finding]:
    clients = clients or cloud.client
    settings = settings or load(CONTEXT)
    checks = Preflight(settings, plan, clients, clients, transport or hub(), weights_key)
    return list(checks.run())


def bad(found: list[Finding]) -> list[tuple[str, Verdict]]:
    """Those that aren't ok: each says what to do."""
    others = [finding for finding in found if finding.verdict is not Verdict.OK]
    assert all(finding.advice for finding in others)
    return [(finding.subject, finding.verdict) for finding in others]


def test_a_plan_is_what_templates_make(plan: Plan) -> None:
    assert set(plan.bootstrap) == {BOOTSTRAP}
    assert {fleet.endpoint: (fleet.instance_type, fleet.first) for fleet in plan.fleets} == {
        "sd-g5": ("ml.g5.xlarge", 1),
        "sd-djl": ("ml.g5.xlarge", 1),
        "sd-inf2": ("ml.inf2.xlarge", 1),
    }
    assert [build.stack for build in plan.builds if build.jobs] == ["SdInf2CompileStack"]
    named = {(each.stack, each.name) for each in plan.named}
    assert {("SdG5Stack", "/sd/variants/g5"), ("SdBatchStack", "sd-batches")} <= named


def test_a_plan_of_one_stack_has_what_it_depends_on_and_no_more(aws: Synthesized) -> None:
    plan = read_plan(aws.folder, ["SdG5Stack"])
    assert {"SdG5Stack", "SdApiStack", "SdArtifactsStack", "SdStorageStack"} <= {*plan.stacks}
    assert [fleet.endpoint for fleet in plan.fleets] == ["sd-g5"]
    assert not {"SdDjlStack", "SdInf2CompileStack"} & {*plan.stacks}
    with pytest.raises(NoSuchStack, match=r"SdG6Stack is none of the app's stacks: .*SdG5Stack"):
        read_plan(aws.folder, ["SdG6Stack"])


def test_a_sound_account_has_nothing_to_mend(cloud: ChildCloud, plan: Plan) -> None:
    found = run(cloud, plan)
    assert bad(found) == []
    said = "\n".join(map(str, found))
    for subject in ("credentials", "region us-east-1", "cdk bootstrap", "names", ENDPOINTS, SPOT,
                    COMPILES, IMAGES, BASE, "model sd21-base", "licence", "ml.inf2.xlarge for hos",
                    "cost of all endpoints: $3.81 an hour"):  # fmt: skip
        assert subject in said


def quota(name: str, value: float | None) -> tuple[str, str]:
    return "quotas", json.dumps({name: value})


@pytest.mark.parametrize(
    ("switch", "content", "subject", "verdict"),
    [
        ("region-disabled", "us-east-1", "region us-east-1", Verdict.FAILS),
        (*quota(ENDPOINTS, 1), ENDPOINTS, Verdict.FAILS),
        (*quota(ENDPOINTS, None), ENDPOINTS, Verdict.UNKNOWN),
        (*quota(COMPILES, 0), f"{COMPILES} (inf2's compile)", Verdict.FAILS),
        (*quota(IMAGES, 0), IMAGES, Verdict.FAILS),
        ("no-instance-type", "inf2.xlarge", "ml.inf2.xlarge for hosting in us-east-1",
         Verdict.FAILS),
    ],
)  # fmt: skip
def test_what_the_account_or_region_lacks(
    cloud: ChildCloud, plan: Plan, switch: str, content: str, subject: str, verdict: Verdict
) -> None:
    with fault(cloud, switch, content):
        assert bad(run(cloud, plan)) == [(subject, verdict)]


def test_what_batches_lack_and_the_deploy_doesn_t_is_told_so(cloud: ChildCloud, plan: Plan) -> None:
    with fault(cloud, *quota(SPOT, 0)):
        found = bad(run(cloud, plan))
    assert found == [
        (f"{SPOT} ({variant}'s large batches, not the deploy)", Verdict.FAILS)
        for variant in ("g5", "djl")
    ]


def test_base_images_that_aws_took_away(cloud: ChildCloud, plan: Plan) -> None:
    with fault(cloud, "no-base-image"):
        found = bad(run(cloud, plan))
        assert [verdict for _, verdict in found] == [Verdict.FAILS] * 3
        pinned = load({**CONTEXT, "sd.variants.g5.base_image_digest": f"sha256:{'1' * 64}"})
        (first, *_) = [f for f in run(cloud, plan, settings=pinned) if "base image" in f.subject]
        assert f"has no sha256:{'1' * 64}" in first.found


@pytest.mark.parametrize(
    ("transport", "subject", "verdict"),
    [
        (hub(status=404), "model sd21-base", Verdict.FAILS),
        (hub(SOUND_MODEL | {"gated": "auto"}), "model sd21-base", Verdict.FAILS),
        (hub(status=503), "model sd21-base", Verdict.UNKNOWN),
        (hub(status=0), "model sd21-base", Verdict.UNKNOWN),
        (hub(SOUND_MODEL | {"sha": "f" * 40}), "model sd21-base", Verdict.UNKNOWN),
        (hub(SOUND_MODEL | {"cardData": {"license": "cc-by-nc-4.0"}}), "licence of sd21-base",
         Verdict.UNKNOWN),
        (hub(SOUND_MODEL | {"cardData": None, "tags": []}), "licence of sd21-base",
         Verdict.UNKNOWN),
    ],
)  # fmt: skip
def test_what_the_hub_has_become(
    cloud: ChildCloud, plan: Plan, transport: Hub, subject: str, verdict: Verdict
) -> None:
    assert bad(run(cloud, plan, transport=transport)) == [(subject, verdict)]


@pytest.mark.parametrize("version", ["", "5"])
def test_an_account_that_isn_t_bootstrapped_as_it_must_be(
    cloud: ChildCloud, plan: Plan, version: str
) -> None:
    ssm = cloud.client("ssm")
    with bootstrapped(ssm, version):
        found = run(cloud, plan)
    assert bad(found) == [("cdk bootstrap", Verdict.FAILS)]
    (finding,) = (each for each in found if each.subject == "cdk bootstrap")
    assert finding.advice == "npx cdk bootstrap aws://000000000000/us-east-1"


@contextmanager
def bootstrapped(ssm: Any, version: str) -> Iterator[None]:
    """As that version; not at all, where it is empty."""
    ssm.delete_parameter(Name=BOOTSTRAP)
    if version:
        ssm.put_parameter(Name=BOOTSTRAP, Value=version, Type="String")
    try:
        yield
    finally:
        ssm.put_parameter(Name=BOOTSTRAP, Value="28", Type="String", Overwrite=True)


def test_what_stands_in_the_way_of_names(cloud: ChildCloud, plan: Plan) -> None:
    ssm, logs = cloud.client("ssm"), cloud.client("logs")
    group = "/aws/sagemaker/Endpoints/sd-g5"
    ssm.put_parameter(Name="/sd/variants/g5", Value="{}", Type="String")
    logs.create_log_group(logGroupName=group)
    try:
        found = run(cloud, plan)
    finally:
        ssm.delete_parameter(Name="/sd/variants/g5")
        logs.delete_log_group(logGroupName=group)
    assert sorted(bad(found)) == [
        (f"AWS::Logs::LogGroup {group}", Verdict.FAILS),
        ("AWS::SSM::Parameter /sd/variants/g5", Verdict.FAILS),
    ]
    advice = [finding.advice for finding in found if finding.verdict is Verdict.FAILS]
    assert f"aws logs delete-log-group --log-group-name {group}" in "\n".join(advice)


@pytest.mark.parametrize(
    ("status", "verdict", "advice"),
    [
        ("UPDATE_ROLLBACK_FAILED", Verdict.FAILS, "continue-update-rollback --stack-name SdG5"),
        ("DELETE_FAILED", Verdict.FAILS, "describe-stack-events --stack-name SdG5Stack says why"),
        ("UPDATE_IN_PROGRESS", Verdict.UNKNOWN, "wait until it is done"),
        ("ROLLBACK_COMPLETE", Verdict.OK, ""),
        ("UPDATE_ROLLBACK_COMPLETE", Verdict.OK, ""),
    ],
)
def test_stacks_that_no_deploy_can_change(status: str, verdict: Verdict, advice: str) -> None:
    (finding,) = stuck({"SdG5Stack": status})
    assert finding.verdict is verdict
    assert advice in finding.advice


def test_what_others_endpoints_use_isn_t_free(cloud: ChildCloud, plan: Plan) -> None:
    theirs = ToyEndpoint(cloud, "theirs")
    assert theirs.create()["EndpointStatus"] == "InService"
    try:
        for limit, expected in ((2, [(ENDPOINTS, Verdict.FAILS)]), (3, [])):
            with fault(cloud, *quota(ENDPOINTS, limit)):
                found = run(cloud, plan)
            assert bad(found) == expected
    finally:
        cloud.client("sagemaker").delete_endpoint(EndpointName="theirs")
    assert "later updates and scaling want 4" in "\n".join(map(str, found))


def test_one_endpoint_without_its_configuration_hides_no_quota(
    cloud: ChildCloud, plan: Plan
) -> None:
    """SageMaker lets one be deleted that is in use, and tells the instance type nowhere else."""
    bereft = ToyEndpoint(cloud, "bereft")
    assert bereft.create()["EndpointStatus"] == "InService"
    sagemaker = cloud.client("sagemaker")
    name = sagemaker.describe_endpoint(EndpointName="bereft")["EndpointConfigName"]
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    try:
        with fault(cloud, *quota(ENDPOINTS, 1)):
            quotas = Quotas(cloud.client("service-quotas"))
            found = list(endpoint_quotas(quotas, sagemaker, plan.fleets))
    finally:
        sagemaker.delete_endpoint(EndpointName="bereft")
    assert bad(found) == [
        ("quotas of endpoints", Verdict.UNKNOWN),
        (ENDPOINTS, Verdict.FAILS),
    ]
    assert "the configuration of bereft was deleted" in found[0].found


def test_an_endpoint_that_is_deployed_may_roll_beside_itself(cloud: ChildCloud) -> None:
    toy = ToyEndpoint(cloud, "ours")
    assert toy.create()["EndpointStatus"] == "InService"
    fleet = Fleet("OursStack", "ours", "ml.g5.xlarge", 1, 1, 1)
    clients = cloud.client
    try:
        for limit, verdict in ((1, Verdict.UNKNOWN), (2, Verdict.OK)):
            with fault(cloud, *quota(ENDPOINTS, limit)):
                quotas = Quotas(clients("service-quotas"))
                (found,) = endpoint_quotas(quotas, clients("sagemaker"), [fleet])
            assert found.verdict is verdict
    finally:
        cloud.client("sagemaker").delete_endpoint(EndpointName="ours")


def test_what_is_built_already_needs_no_quota_no_base_and_no_hub(
    cloud: ChildCloud, plan: Plan
) -> None:
    cloudformation, s3 = cloud.client("cloudformation"), cloud.client("s3")
    body = {"Resources": {"Models": {"Type": "AWS::S3::Bucket"}}}
    cloudformation.create_stack(StackName="SdStorageStack", TemplateBody=json.dumps(body))
    kept = wait_for(lambda: cloudformation.describe_stack_resources(StackName="SdStorageStack"))
    bucket = kept["StackResources"][0]["PhysicalResourceId"]
    for build in plan.builds:
        s3.put_object(Bucket=bucket, Key=build.manifest, Body=b"{}")
    wanting = json.dumps({IMAGES: 0, COMPILES: 0})
    try:
        with fault(cloud, "quotas", wanting), fault(cloud, "no-base-image"):
            assert bad(run(cloud, plan, transport=hub(status=404))) == []
    finally:
        for build in plan.builds:
            s3.delete_object(Bucket=bucket, Key=build.manifest)
        cloudformation.delete_stack(StackName="SdStorageStack")


def test_whoever_asks_must_be_somebody(cloud: ChildCloud, plan: Plan) -> None:
    strangers: list[Callable[[str], Any]] = [
        lambda _: WithoutCredentials(),
        clients_with(cloud, "AKIA0000000000000000", "nobody's"),
    ]
    for clients in strangers:
        found = run(cloud, plan, clients=clients)
        assert bad(found) == [
            ("credentials", Verdict.FAILS),
            ("the account", Verdict.UNKNOWN),
        ]
        assert "aws configure" in found[0].advice


def test_what_may_not_be_read_can_t_be_told(cloud: ChildCloud, plan: Plan) -> None:
    nobody = client_of_user(cloud, "preflight-nobody", "service-quotas")
    allowed = cloud.client

    def clients(service: str) -> Any:
        return nobody if service == "service-quotas" else allowed(service)

    assert bad(run(cloud, plan, clients=clients)) == [
        (f"quotas of {what}", Verdict.UNKNOWN) for what in ("endpoints", "jobs", "builds")
    ]


def test_nothing_false_is_said_where_earlier_deploys_can_t_be_seen(
    cloud: ChildCloud, plan: Plan
) -> None:
    nobody = client_of_user(cloud, "preflight-unseeing", "cloudformation")
    allowed, ssm = cloud.client, cloud.client("ssm")

    def clients(service: str) -> Any:
        return nobody if service == "cloudformation" else allowed(service)

    ssm.put_parameter(Name="/sd/variants/g5", Value="{}", Type="String")
    try:
        with fault(cloud, *quota(IMAGES, 0)):
            found = bad(run(cloud, plan, clients=clients))
    finally:
        ssm.delete_parameter(Name="/sd/variants/g5")
    assert found == [("earlier deploys", Verdict.UNKNOWN), (IMAGES, Verdict.UNKNOWN)]


def test_an_endpoint_that_sleeps_costs_nothing_meanwhile(tmp_path: Path) -> None:
    serve = {
        "sd.variants.g5.serve": "real-time,async",
        "sd.variants.g5.async.max_instances": "3",
        "sd.variants.g5.scaling.schedule": json.dumps([SCHEDULE_EXAMPLE]),
    }
    scaled = synthesize(tmp_path, **G5_ALONE, **serve)
    awake, asleep = read_plan(tmp_path).fleets
    assert awake == Fleet("SdG5Stack", "sd-g5", "ml.g5.xlarge", 1, 1, 4)
    assert asleep == Fleet("SdG5Stack", "sd-g5-async", "ml.g5.xlarge", 1, 0, 3)
    found = cost([asleep], {"sd-g5-async": scaled.settings.prices["g5"]})
    assert "0 x ml.g5.xlarge, $0.00 an hour, 1.41 for each of up to 3" in next(found).found


def test_a_price_that_nobody_knows_is_told(cloud: ChildCloud, plan: Plan) -> None:
    settings = load(CONTEXT)
    settings = replace(settings, prices=dict.fromkeys(settings.prices))
    found = bad(run(cloud, plan, settings=settings))
    assert found == [(f"cost of sd-{name}", Verdict.UNKNOWN) for name in ("g5", "djl", "inf2")]


def test_the_command_prints_all_of_it_and_its_status_says_whether_something_will_fail(
    cloud: ChildCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    command = ["preflight", "SdG5Stack", "-c", "profile=local"]
    command += ["-c", "sd.variants.djl=", "-c", "sd.variants.inf2="]
    with fault(cloud, *quota(IMAGES, 0)):
        assert main(command) == 1
    said = capsys.readouterr().out
    assert f"will fail   {IMAGES}: 0, builds 1\n            → ask for at least 1" in said
    assert "ok          cost of sd-g5: 1 x ml.g5.xlarge, $1.41 an hour" in said
    assert "1 will fail, 0 can't tell" in said
    assert "inf2" not in said
    assert main(["preflight", "SdNoneStack", *command[2:]]) == 2
    assert "SdNoneStack is none of the app's stacks" in capsys.readouterr().err
