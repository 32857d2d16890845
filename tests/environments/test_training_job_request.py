"""The CreateTrainingJob request that AWS would get, for each region and profile, on demand and on
spot: made by the SageMaker SDK from what the template hands the build, checked by AWS's model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_cloud.api_shapes import check_request
from stacks.settings import ROOT
from tests.environments import test_sagemaker_sdk
from tests.fakes.sagemaker import fake_aws
from tests.infrastructure.physical_values import PhysicalValues
from tests.infrastructure.support import REGIONS, Synthesized, in_region
from tests.infrastructure.test_compile_stack import environment

pytestmark = pytest.mark.environments

CASES = [
    (region, profile, spot)
    for region in REGIONS
    for profile in ("aws", "local")
    # Spot adds the same members everywhere, and each request takes the SDK two seconds.
    for spot in (("false", "true") if region == REGIONS[-1] else ("false",))
]
sdk = test_sagemaker_sdk.sdk


def build_environment(app: Synthesized) -> dict[str, str]:
    """What the build that starts the job finds in its environment."""
    values = PhysicalValues(app.templates, app.settings.region)
    (env,) = [
        variables
        for stack, template in app.templates.items()
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CodeBuild::Project"
        and "SD_INSTANCE_TYPE" in (variables := variables_of(values, stack, logical_id))
    ]
    return {
        **environment(app),
        **env,
        "AWS_REGION": app.settings.region,
        "CODEBUILD_BUILD_ID": "project:01234567-89ab-cdef-0123-456789abcdef",
    }


def variables_of(values: PhysicalValues, stack: str, logical_id: str) -> dict[str, str]:
    environment = values.properties(stack, logical_id)["Environment"]
    return {each["Name"]: each["Value"] for each in environment["EnvironmentVariables"]}


def submitted(environments: list[dict[str, str]], sdk: Path) -> list[dict[str, Any]]:
    """The requests, one an environment, as they came in at a port that stands in for AWS."""
    script = str(Path(__file__).with_name("submit_jobs.py"))
    with fake_aws() as aws:
        done = subprocess.run(
            [sys.executable, script],
            input=json.dumps(environments),
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([str(sdk), str(ROOT)]),
                "AWS_ENDPOINT_URL": aws.url,
                "AWS_ACCESS_KEY_ID": "AKIAFAKE",
                "AWS_SECRET_ACCESS_KEY": "fake",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return aws.named("CreateTrainingJob")


@pytest.fixture(scope="module")
def requests(sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """One a case, all of one process: the SDK takes seconds to import."""
    environments = [
        # What a setting makes SD_SPOT is test_compile_stack.py's.
        {**build_environment(in_region(tmp_path_factory.mktemp("app"), *place)), "SD_SPOT": spot}
        for *place, spot in CASES
    ]
    return submitted(environments, sdk)


def test_the_training_job_s_request_passes_aws_s_model(requests: list[dict[str, Any]]) -> None:
    for (region, profile, spot), request in zip(CASES, requests, strict=True):
        check_request("sagemaker", "CreateTrainingJob", request)
        assert f".ecr.{region}." in request["AlgorithmSpecification"]["TrainingImage"]
        assert request.get("EnableManagedSpotTraining", False) is (spot == "true")
        backend = request["HyperParameters"]["backend"]
        assert backend == ("torchscript" if profile == "local" else "neuronx")
