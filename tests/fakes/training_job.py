"""A training job of the local cloud, whose program does at its end what the test says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from local_cloud.child import ChildCloud
from local_cloud.docker.store import MANIFEST_TYPE, ImageRecord, ImageStore, manifest_of
from tests.fakes.local_account import allow, arn, log_lines, make_role, role_arn, wait_for

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference-neuronx:2.8.0"
KEY = arn("kms", "key/0a0a0a0a-0000-0000-0000-000000000000")
LOGS = allow(
    "logs:CreateLogGroup logs:CreateLogStream logs:PutLogEvents",
    "arn:aws:logs:*:*:log-group:/aws/sagemaker/TrainingJobs:*",
)
OUTPUT = {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE"}
# What a container of ours does: reads the platform's files, writes where the platform looks.
PROGRAM = """
import json, os, pathlib, signal, sys, time
root = pathlib.Path(os.environ["SD_OPT_ML"])
settings = json.loads((root / "input/config/hyperparameters.json").read_text())
earlier = sorted(path.name for path in (root / "checkpoints").iterdir())
(root / "checkpoints" / settings["part"]).write_text("done")
def end(number, frame):
    (root / "checkpoints" / "on-stop").write_text("saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
# A test that has read this may end the job: it is ready for that.
print("earlier checkpoints:", earlier, flush=True)
if settings["end"] == "wait":
    time.sleep(600)
if settings["end"] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if settings["end"] == "fail":
    (root / "output/failure").write_text("the unet did not trace")
    sys.exit(2)
weights = (root / "input/data/weights/deep/weights.bin").read_text()
facts = {"weights": weights, "keys": "AWS_ACCESS_KEY_ID" in os.environ}
(root / "model/inner").mkdir()
(root / "model/inner/facts.json").write_text(json.dumps(facts))
"""


# A fleet's container: each instance draws what is in its share of the work, unless it is done.
FLEET_PROGRAM = """
import json, os, pathlib, sys, time
import boto3
root, job = pathlib.Path(os.environ["SD_OPT_ML"]), os.environ["TRAINING_JOB_NAME"]
config = root / "input/config"
resources = json.loads((config / "resourceconfig.json").read_text())
settings = json.loads((config / "hyperparameters.json").read_text())
s3 = boto3.client("s3")
print("resources", json.dumps(resources), flush=True)
print("channels", (config / "inputdataconfig.json").read_text(), flush=True)
if resources["current_host"] == settings.get("fails"):
    (root / "output/failure").write_text("no NeuronCore")
    sys.exit(1)
for part in sorted((root / "input/data/work").iterdir()):
    for line in part.read_text().split():
        key = f"{job}/done/{line}"
        if s3.list_objects_v2(Bucket="bucket", Prefix=key).get("KeyCount"):
            continue
        print("draws", line, flush=True)
        time.sleep(float(settings.get("seconds", 0)))
        s3.put_object(Bucket="bucket", Key=key, Body=resources["current_host"].encode())
"""
FLEET_IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/fleet:1"
FLEET_DIGEST = "sha256:" + "2" * 64


def make_training_account(cloud: ChildCloud) -> None:
    """A bucket with weights and a program, a fleet's image, and two roles that may use them: the
    other may encrypt as well."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="weights/deep/weights.bin", Body=b"numbers")
    s3.put_object(Bucket="bucket", Key="code/program.py", Body=PROGRAM.encode())

    def fill(rootfs: Path) -> None:
        (rootfs / "opt" / "fleet").mkdir(parents=True)
        (rootfs / "opt" / "fleet" / "fleet.py").write_text(FLEET_PROGRAM)

    record = ImageRecord("base:1", {"PYTHONPATH": "/opt/fleet"}, ("python", "-V"))
    push_image(cloud, "fleet", FLEET_DIGEST, record, fill)
    allowed = (
        allow("s3:GetObject s3:PutObject s3:ListBucket", "arn:aws:s3:::bucket*"),
        LOGS,
        allow("ecr:BatchGetImage ecr:GetDownloadUrlForLayer", arn("ecr", "repository/fleet")),
        allow("ecr:GetAuthorizationToken"),
    )
    make_role(cloud, "training", "sagemaker", *allowed)
    make_role(cloud, "encrypting", "sagemaker", *allowed, allow("kms:Encrypt", KEY))


def push_image(
    cloud: ChildCloud,
    repository: str,
    digest: str,
    record: ImageRecord,
    fill: Callable[[Path], None],
) -> None:
    """With the tag 1; `fill` lays out its files."""
    store, ecr = ImageStore(cloud.settings.images), cloud.client("ecr")
    fill(store.rootfs(digest))
    store.save(digest, record)
    with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=repository)
    ecr.put_image(
        repositoryName=repository,
        imageTag="1",
        imageManifest=manifest_of(digest),
        imageManifestMediaType=MANIFEST_TYPE,
    )


def channel(name: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{name}/"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


class TrainingJob:
    def __init__(self, cloud: ChildCloud, name: str, end: str = "well", **changes: Any) -> None:
        """Creates it. `end` is what its program does at last."""
        self.cloud, self.name, self.sagemaker = cloud, name, cloud.client("sagemaker")
        self.request = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["bash", "-c"],
                "ContainerArguments": [
                    'cd "${SD_OPT_ML:-/opt/ml}/input/data/code" && exec python3 -m program'
                ],
            },
            "HyperParameters": {"part": "unet", "end": end},
            "RoleArn": role_arn("training"),
            "InputDataConfig": [channel("weights"), channel("code")],
            "OutputDataConfig": OUTPUT,
            "ResourceConfig": {
                "InstanceType": "ml.trn1.2xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 100,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "CheckpointConfig": {
                "S3Uri": f"s3://bucket/{name}/checkpoints/",
                "LocalPath": "/opt/ml/checkpoints",
            },
            "EnableNetworkIsolation": True,
            **changes,
        }
        self.sagemaker.create_training_job(**self.request)

    @classmethod
    def of_fleet(
        cls, cloud: ChildCloud, name: str, work: Sequence[str], instances: int = 1, **changes: Any
    ) -> TrainingJob:
        """In the fleet's image; `work` is what the parts hold, with spaces between the lines."""
        for number, lines in enumerate(work):
            key = f"{name}/work/part-{number:05d}"
            cloud.client("s3").put_object(Bucket="bucket", Key=key, Body=lines.encode())
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{name}/work/",
                  "S3DataDistributionType": "ShardedByS3Key"}  # fmt: skip
        request: dict[str, Any] = {
            "AlgorithmSpecification": {
                "TrainingImage": FLEET_IMAGE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python3", "-m", "fleet"],
            },
            "HyperParameters": {},
            "InputDataConfig": [{"ChannelName": "work", "DataSource": {"S3DataSource": source}}],
            "ResourceConfig": {
                "InstanceType": "ml.g5.xlarge",
                "InstanceCount": instances,
                "VolumeSizeInGB": 30,
            },
            "EnableNetworkIsolation": False,
            **changes,
        }
        return cls(cloud, name, **request)

    def described(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=self.name)
        return answer

    def ended(self) -> dict[str, Any]:
        wait_for(lambda: self.described()["TrainingJobStatus"] not in ("InProgress", "Stopping"))
        return self.described()

    def object(self, key: str) -> str:
        body = self.cloud.client("s3").get_object(Bucket="bucket", Key=key)["Body"]
        return str(body.read().decode())

    def log(self, host: str = "algo-1") -> list[str]:
        return log_lines(self.cloud, "/aws/sagemaker/TrainingJobs", f"{self.name}/{host}-")

    def done(self) -> dict[str, str]:
        """The host that drew each line, for a fleet's job."""
        prefix = f"{self.name}/done/"
        found = self.cloud.client("s3").list_objects_v2(Bucket="bucket", Prefix=prefix)
        keys = [item["Key"] for item in found.get("Contents", [])]
        return {key.removeprefix(prefix): self.object(key) for key in keys}

    def statuses(self) -> list[str]:
        return [passed["Status"] for passed in self.described()["SecondaryStatusTransitions"]]

    def stop(self) -> None:
        self.sagemaker.stop_training_job(TrainingJobName=self.name)
