"""What needs the `sagemaker` package itself: the request its Estimator makes, as the build runs it.

`.envs/sagemaker` holds the package as the build installs it, by requirements-compile.txt.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.settings import ROOT
from tests.environments.test_environments import install
from tests.fakes.sagemaker import FakeAws, fake_aws
from tests.unit.test_inf2_follower import BUCKET, COMPLETED, ENV, KEY, STAGED, TARGET, lay_out

pytestmark = pytest.mark.environments

REQUIREMENTS = ROOT / "stacks" / "build_scripts" / "requirements-compile.txt"


@pytest.fixture(scope="module")
def sdk() -> Path:
    return install("sagemaker", REQUIREMENTS)


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with fake_aws() as fake:
        fake.states = [COMPLETED]
        lay_out(fake)
        yield fake


def start_build(aws: FakeAws, sdk: Path, source: Path, **env: str) -> subprocess.Popen[str]:
    """As CodeBuild would: from the source folder, with the package found first."""
    (source / "code" / "inf2").mkdir(parents=True)
    (source / "code" / "inf2" / "compile.py").write_text("print()")
    (source / "stacks").symlink_to(ROOT / "stacks")
    return subprocess.Popen(
        [sys.executable, "-m", "stacks.build_scripts.neuron_compile"],
        cwd=source,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(source),
            "PYTHONPATH": str(sdk),
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_ACCESS_KEY_ID": "AKIAFAKE",
            "AWS_SECRET_ACCESS_KEY": "fake",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            **ENV,
            "SD_POLL_S": "0.01",
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_estimator_s_request(aws: FakeAws, sdk: Path, tmp_path: Path) -> None:
    build = start_build(aws, sdk, tmp_path)
    said, _ = build.communicate()
    assert build.returncode == 0, said
    (request,) = aws.named("CreateTrainingJob")
    assert request == {
        "TrainingJobName": STAGED.split("/")[2],
        "RoleArn": ENV["SD_ROLE_ARN"],
        "AlgorithmSpecification": {
            "TrainingImage": ENV["SD_IMAGE"],
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "-c"],
            "ContainerArguments": [
                'cd "${SD_OPT_ML:-/opt/ml}/input/data/code" && exec python3 -m inf2.compile'
            ],
        },
        "HyperParameters": {"key": KEY, "sizes": "64x64"},
        "Environment": {"TMPDIR": "/tmp"},
        "InputDataConfig": [
            _channel("weights", "weights/w/"),
            _channel("code", f"compile-jobs/parts/code/{KEY}/"),
        ],
        "OutputDataConfig": {
            "S3OutputPath": f"s3://{BUCKET}/compile-jobs/parts",
            "CompressionType": "NONE",
            "KmsKeyId": ENV["SD_KMS_KEY_ARN"],
        },
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/compile-jobs/parts/checkpoints/"},
        "ResourceConfig": {
            "InstanceCount": 1,
            "InstanceType": "ml.trn1.2xlarge",
            "VolumeSizeInGB": 100,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "EnableNetworkIsolation": True,
        "ProfilerConfig": {"DisableProfiler": True},
    }
    assert said.splitlines()[-1] == f"published s3://{BUCKET}/{TARGET}"
    # The package's report to AWS would have to ask for the account's number, and fail here.
    assert "telemetry" not in said
    assert {name for name, _ in aws.calls if not name.startswith("S3")} == {
        "CreateTrainingJob",
        "DescribeLogStreams",
        "DescribeTrainingJob",
        "ListTrainingJobs",
    }


def test_the_estimator_s_request_for_spot_in_a_network(
    aws: FakeAws, sdk: Path, tmp_path: Path
) -> None:
    network = {"SD_SUBNETS": '["subnet-1", "subnet-2"]', "SD_SECURITY_GROUPS": '["sg-1"]'}
    build = start_build(aws, sdk, tmp_path, SD_SPOT="true", **network)
    said, _ = build.communicate()
    assert build.returncode == 0, said
    (request,) = aws.named("CreateTrainingJob")
    assert request["EnableManagedSpotTraining"] is True
    assert request["VpcConfig"] == {
        "Subnets": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }
    assert request["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 3600,
        "MaxWaitTimeInSeconds": 3600,
    }


def test_a_refused_request_names_the_quota_in_the_last_line(
    aws: FakeAws, sdk: Path, tmp_path: Path
) -> None:
    limit = "ml.trn1.2xlarge for training job usage"
    aws.refusal = ("ResourceLimitExceeded", f"The account-level service limit '{limit}' is 0.")
    build = start_build(aws, sdk, tmp_path)
    said, _ = build.communicate()
    assert build.returncode == 1
    assert said.splitlines()[-1].startswith(f"The quota '{limit}' of Amazon SageMaker in us-east-1")


def _channel(name: str, prefix: str) -> dict[str, Any]:
    return {
        "ChannelName": name,
        "InputMode": "File",
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3DataDistributionType": "FullyReplicated",
                "S3Uri": f"s3://{BUCKET}/{prefix}",
            }
        },
    }
