"""Every property of every template, held against the models of the services that it goes to.

Refs and attributes are filled with values of the right form and length (physical_values.py), the
resources turned into the requests that make them (botocore_shapes.py), and those checked as the
services do; limits that aren't in the models stand in service_limits.py. That a fault would be
found is test_aws_models_find_faults.py's.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cfnlint.api import lint_by_config
from cfnlint.config import ManualArgs

from local_cloud.api_shapes import pattern_is_checked, service_model
from stacks.settings.compile import TRAINIUM_INSTANCES
from stacks.settings.neuron import INF2_INSTANCES, NEURON_AMIS
from stacks.settings.variant import GPU_AMIS, GPU_INSTANCES
from tests.infrastructure.botocore_shapes import patterns_used
from tests.infrastructure.support import (
    PROFILES,
    REGIONS,
    SIGNING,
    Synthesized,
    in_region,
    synthesize,
)
from tests.infrastructure.template_problems import problems

LINT_LEFT = {
    "W3005": "CDK lets a function depend on its role and the role's policy; naming both harms none",
    "W6001": "a variant's stack prints the API's address and its image, which others export",
}
"""cfn-lint's warnings that stay, and why."""


def cfn_lint(templates: list[Path], region: str) -> list[str]:
    """Its findings but for those that stay."""
    arguments = ManualArgs(templates=[str(path) for path in templates], regions=[region])
    arguments["ignore_checks"] = list(LINT_LEFT)
    return [f"{match.filename}: {match}" for match in lint_by_config(arguments)]


@pytest.fixture(
    scope="module",
    params=[(region, profile) for region in REGIONS for profile in PROFILES],
    ids=lambda param: f"{param[0]}, {param[1]}",
)
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return in_region(tmp_path_factory.mktemp("app"), *request.param)


def test_no_service_would_refuse_a_property(app: Synthesized) -> None:
    assert list(problems(app.templates, app.settings.region)) == []


VARIANTS = ("g5", "djl", "inf2")
# As many as settings take.
SIZES = [f"{width}x{height}" for width in range(64, 1025, 64) for height in range(64, 1025, 64)][
    :130
]
SCHEDULE = json.dumps(
    [
        {"cron": "0 8 ? * MON-FRI *", "timezone": "Europe/Vienna", "min": 1, "max": 100},
        {"cron": "0 18 ? * MON-FRI *", "timezone": "Europe/Vienna", "min": 1, "max": 1},
    ]
)
LEAST = {
    "sd.batch.result_days": "1",
    "sd.batch.bulk_pictures": "1",
    "sd.batch.real_time_share": "0.01",
    "sd.batch.worker_timeout_s": "30",
    "sd.variants.g5.serve": "bulk",
    "sd.variants.djl.serve": "async",
    "sd.variants.djl.async.backlog_per_instance": "0.1",
    "sd.variants.djl.async.scale_in_s": "0",
    "sd.api.rate_per_s": "0.1",
    "sd.api.burst": "1",
    "sd.api.requests_per_day": "1",
    "sd.api.image_days": "1",
    "sd.api.log_days": "1",
    "sd.api.max_body_bytes": "1024",
    "sd.api.waf": "true",
    "sd.api.waf_rate": "10",
    "sd.api.authorization": "iam",
    "sd.builds.weights_timeout_min": "5",
    "sd.builds.image_timeout_min": "5",
    "sd.builds.log_days": "1",
    "sd.variants.inf2.compile.timeout_min": "10",
    "sd.variants.g5.startup_timeout_s": "60",
    "sd.network.vpc": "own",
    **{f"sd.variants.{variant}.download_timeout_s": "60" for variant in VARIANTS},
}
MOST = {
    "sd.api.rate_per_s": "10000",
    "sd.api.burst": "5000",
    "sd.api.requests_per_day": "100000000",
    "sd.api.image_days": "365",
    "sd.api.log_days": "365",
    "sd.api.max_body_bytes": "65536",
    "sd.api.waf": "true",
    "sd.api.waf_rate": "2000000000",
    "sd.api.authorization": "cognito",
    "sd.api.cognito_user_pool": "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_a",
    "sd.api.cors_origins": ",".join(f"https://app{i}.example.com" for i in range(40)),
    "sd.api.tracing": "true",
    **SIGNING,
    "sd.api.c2pa.timestamp_url": "http://timestamp.example.com",
    "sd.builds.weights_timeout_min": "600",
    "sd.builds.image_timeout_min": "600",
    "sd.builds.log_days": "365",
    "sd.variants.inf2.compile.timeout_min": "600",
    "sd.variants.g5.sizes": ",".join(SIZES),
    "sd.variants.inf2.sizes": ",".join(SIZES),
    "sd.network.vpc": "given",
    "sd.network.subnets": ",".join(f"subnet-{number:017x}" for number in range(16)),
    "sd.network.security_groups": ",".join(f"sg-{number:017x}" for number in range(5)),
    "sd.batch.result_days": "365",
    "sd.batch.bulk_pictures": "50000",
    "sd.batch.worker_timeout_s": "870",
    **{f"sd.variants.{variant}.serve": "real-time,async,bulk" for variant in VARIANTS},
    **{f"sd.variants.{variant}.scaling.max_instances": "100" for variant in VARIANTS},
    **{f"sd.variants.{variant}.scaling.scale_in_s": "3600" for variant in VARIANTS},
    **{f"sd.variants.{variant}.scaling.schedule": SCHEDULE for variant in VARIANTS},
    **{f"sd.variants.{variant}.async.max_instances": "100" for variant in VARIANTS},
    **{f"sd.variants.{variant}.bulk.instances": "100" for variant in VARIANTS},
    **{f"sd.variants.{variant}.bulk.max_hours": "120" for variant in VARIANTS},
    **{f"sd.variants.{variant}.startup_timeout_s": "3600" for variant in VARIANTS},
    **{f"sd.variants.{variant}.download_timeout_s": "3600" for variant in VARIANTS},
    **{f"sd.variants.{variant}.seconds_per_step_source": "s" * 200 for variant in VARIANTS},
}


@pytest.mark.parametrize("context", [LEAST, MOST], ids=["least", "most"])
def test_no_service_would_refuse_what_settings_allow(
    context: dict[str, str], tmp_path: Path
) -> None:
    app = synthesize(tmp_path, **context)
    assert list(problems(app.templates, app.settings.region)) == []


def test_services_know_every_value_that_settings_offer() -> None:
    sagemaker = service_model("sagemaker")
    hosts, trainers, amis = (
        set(sagemaker.shape_for(shape).enum)
        for shape in (
            "ProductionVariantInstanceType",
            "TrainingInstanceType",
            "ProductionVariantInferenceAmiVersion",
        )
    )
    assert {*GPU_INSTANCES, *INF2_INSTANCES} - hosts == set()
    assert set(TRAINIUM_INSTANCES) - trainers == set()
    assert {*GPU_AMIS, *NEURON_AMIS} - amis == set()


def test_no_other_region_is_written_into_a_template(app: Synthesized) -> None:
    others = set(REGIONS) - {app.settings.region}
    for stack, template in app.templates.items():
        text = json.dumps(template)
        assert [region for region in others if region in text] == [], stack


@pytest.mark.parametrize("region", REGIONS)
def test_cfn_lint_leaves_nothing_open_in(region: str, tmp_path: Path) -> None:
    """It knows which types and values a region has."""
    in_region(tmp_path, region, "aws")
    assert cfn_lint(sorted(tmp_path.glob("*.template.json")), region) == []


def test_every_pattern_in_these_models_is_checked() -> None:
    """One that Python can't read would let everything through."""
    unchecked = {
        (service, pattern)
        for service, pattern in patterns_used()
        if not pattern_is_checked(pattern)
    }
    assert unchecked == set()
