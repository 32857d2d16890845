"""A toy container image and what it takes to serve it on a local cloud."""

from __future__ import annotations

import json
from typing import Any

from local_cloud.child import ChildCloud
from local_cloud.docker.store import MANIFEST_TYPE, ImageRecord, ImageStore, manifest_of
from tests.fakes.local_account import allow, arn, make_role, role_arn, wait_for

GROUPS = arn("logs", "log-group:/aws/sagemaker/Endpoints/*")
PULLS_LOADS_LOGS = (
    allow("ecr:BatchGetImage ecr:GetDownloadUrlForLayer", arn("ecr", "repository/toy")),
    allow("ecr:GetAuthorizationToken"),
    allow("s3:ListBucket", "arn:aws:s3:::models"),
    allow("s3:GetObject", "arn:aws:s3:::models/toy/*"),
    allow("logs:CreateLogStream logs:PutLogEvents", GROUPS),
)
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/toy:1"
DIGEST = "sha256:" + "1" * 64
PRODUCTION_VARIANT = {
    "VariantName": "AllTraffic",
    "InstanceType": "ml.g5.xlarge",
    "InitialInstanceCount": 1,
    "ContainerStartupHealthCheckTimeoutInSeconds": 60,
}
CONTAINER_CODE = """
import http.server, json, os, sys, threading, time
folder = os.environ["SM_MODEL_DIR"]
if os.environ.get("TOY") == "broken":
    print("FATAL: weights.txt is not a model", flush=True)
    sys.exit(1)
if os.environ.get("TOY") == "never":
    threading.Event().wait()
if os.environ.get("TOY") == "once":
    try:
        open(os.environ["HOME"] + "/started", "x")
    except FileExistsError:
        threading.Event().wait()
weights = open(folder + "/weights.txt").read()
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "sleep" in request:
            time.sleep(request["sleep"])
        if "crash" in request:
            os._exit(3)
        if "chunked" in request:
            self.send_response(200)
            self.end_headers()
            return self.wfile.write(b"no length")
        if "SLOW" in os.environ:
            time.sleep(float(os.environ["SLOW"]))
        if "ANSWER" in os.environ:
            return self.answer(200, os.environ["ANSWER"].encode())
        if "status" in request:
            body = request.get("body", '{"error": "as asked"}')
            return self.answer(request["status"], body.encode())
        facts = {"weights": weights, "toy": os.environ.get("TOY"), "pid": os.getpid(),
                 "accept": self.headers["Accept"], "has_keys": "AWS_ACCESS_KEY_ID" in os.environ}
        if "size" in request:
            facts = "x" * request["size"]
        self.answer(200, json.dumps(facts).encode())
    def log_message(self, *args):
        print("LOG", *args, flush=True)
port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def model_data(prefix: str = "toy/") -> dict[str, Any]:
    source = {
        "S3Uri": f"s3://models/{prefix}",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    return {"S3DataSource": source}


def make_toy(cloud: ChildCloud) -> None:
    """The image, a bucket with model data, and the roles that may use both: `endpoint`, which makes
    its log group and sees alarms, and `bare`, which does neither."""
    store = ImageStore(cloud.settings.images)
    code = store.rootfs(DIGEST) / "opt" / "toy"
    code.mkdir(parents=True)
    (code / "serve.py").write_text(CONTAINER_CODE)
    store.save(DIGEST, ImageRecord("toy-base:1", {}, ("python", "/opt/toy/serve.py")))
    cloud.client("ecr").create_repository(repositoryName="toy")
    push_toy(cloud, "1", MANIFEST_TYPE)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="toy/weights.txt", Body=b"first")
    s3.put_object(Bucket="models", Key="other/weights.txt", Body=b"not for this role")
    further = (
        allow("logs:CreateLogGroup", GROUPS),
        allow("cloudwatch:DescribeAlarms", arn("cloudwatch", "alarm:*")),
    )
    make_role(cloud, "bare", "sagemaker", *PULLS_LOADS_LOGS)
    make_role(cloud, "endpoint", "sagemaker", *PULLS_LOADS_LOGS, *further)


def push_toy(cloud: ChildCloud, tag: str, media_type: str) -> None:
    cloud.client("ecr").put_image(
        repositoryName="toy",
        imageTag=tag,
        imageManifest=manifest_of(DIGEST, media_type),
        imageManifestMediaType=media_type,
    )


class ToyEndpoint:
    """A model, its configuration and endpoint, all under one name."""

    def __init__(self, cloud: ChildCloud, name: str) -> None:
        self.cloud, self.name = cloud, name
        self.sagemaker, self.runtime = cloud.client("sagemaker"), cloud.client("sagemaker-runtime")

    def model(
        self,
        suffix: str = "",
        role: str = "endpoint",
        variant: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        network: dict[str, Any] | None = None,
        **container: Any,
    ) -> str:
        """A model and its endpoint configuration; the name of both. `variant` and `config` are
        further members of the latter's."""
        name = self.name + suffix
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=role_arn(role),
            PrimaryContainer={"Image": IMAGE, "ModelDataSource": model_data(), **container},
            **({"VpcConfig": network} if network else {}),
        )
        main = {**PRODUCTION_VARIANT, "ModelName": name, **(variant or {})}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[main], **(config or {})
        )
        return name

    def create(self, **model: Any) -> dict[str, Any]:
        config = self.model(**model)
        self.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=config)
        return self.settled()

    def status(self) -> str:
        return str(self.sagemaker.describe_endpoint(EndpointName=self.name)["EndpointStatus"])

    def settled(self) -> dict[str, Any]:
        """As described, once no creation or update is under way."""
        wait_for(lambda: self.status() not in ("Creating", "Updating"))
        described: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=self.name)
        return described

    def invoke(self, **request: Any) -> Any:
        body = json.dumps(request).encode()
        answer = self.runtime.invoke_endpoint(EndpointName=self.name, Body=body)
        return json.loads(answer["Body"].read())

    def update(
        self,
        suffix: str,
        deployment: dict[str, Any] | None = None,
        retain: bool = False,
        **model: Any,
    ) -> None:
        """Begin to move over to a new model; `retain` keeps the number of instances."""
        request: dict[str, Any] = {"DeploymentConfig": deployment} if deployment else {}
        if retain:
            request["RetainAllVariantProperties"] = True
        self.sagemaker.update_endpoint(
            EndpointName=self.name, EndpointConfigName=self.model(suffix, **model), **request
        )

    def scale(self, instances: int) -> dict[str, Any]:
        """As described when it is done."""
        self.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=self.name,
            DesiredWeightsAndCapacities=[
                {"VariantName": "AllTraffic", "DesiredInstanceCount": instances}
            ],
        )
        return self.settled()

    def instances(self) -> tuple[int, int]:
        """How many there are, and how many are wanted."""
        (variant,) = self.sagemaker.describe_endpoint(EndpointName=self.name)["ProductionVariants"]
        return variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]

    def delete(self) -> None:
        self.sagemaker.delete_endpoint(EndpointName=self.name)
