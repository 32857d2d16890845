"""A toy container image and what it takes to serve it on a local cloud."""

from __future__ import annotations

import json
import time
from typing import Any

from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from local_cloud.image_store import MANIFEST_TYPE, ImageRecord, ImageStore, manifest_of

ROLE_POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": "arn:aws:ecr:us-east-1:000000000000:repository/toy",
        },
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::models"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/toy/*"},
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/*",
        },
    ],
}
# What an execution role may have besides.
MAKES_GROUPS = {
    "Effect": "Allow",
    "Action": "logs:CreateLogGroup",
    "Resource": "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/*",
}
SEES_ALARMS = {
    "Effect": "Allow",
    "Action": "cloudwatch:DescribeAlarms",
    "Resource": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:*",
}
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/toy:1"
VARIANT = {
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


def make_toy(cloud: ChildCloud) -> None:
    """The image, a bucket with model data, and the roles that may use both: `endpoint`, which makes
    its log group and sees alarms, and `bare`, which does neither."""
    make_image(cloud)
    s3, iam = cloud.client("s3"), cloud.client("iam")
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="toy/weights.txt", Body=b"first")
    s3.put_object(Bucket="models", Key="other/weights.txt", Body=b"not for this role")
    make_role(iam, "bare", "sagemaker.amazonaws.com", ROLE_POLICY)
    statements = [*ROLE_POLICY["Statement"], MAKES_GROUPS, SEES_ALARMS]
    make_role(iam, "endpoint", "sagemaker.amazonaws.com", {**ROLE_POLICY, "Statement": statements})


def make_image(cloud: ChildCloud) -> None:
    store = ImageStore(cloud.settings.images)
    digest = "sha256:" + "1" * 64
    code = store.rootfs(digest) / "opt" / "toy"
    code.mkdir(parents=True)
    (code / "serve.py").write_text(CONTAINER_CODE)
    record = ImageRecord("toy-base:1", {}, ("python", "/opt/toy/serve.py"))
    store.save(digest, record)
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="toy")
    ecr.put_image(
        repositoryName="toy",
        imageTag="1",
        imageManifest=manifest_of(digest),
        imageManifestMediaType=MANIFEST_TYPE,
    )


def make_role(iam: Any, name: str, service: str, policy: dict[str, Any]) -> str:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        ],
    }
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"][
        "Arn"
    ]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    return arn


def wait_for(question: Any, seconds: float = 30.0) -> Any:
    """The first true answer; the call's own ClientError counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if answer := question():
                return answer
        except ClientError:
            pass
        time.sleep(0.05)
    raise AssertionError("waited in vain")


class ToyEndpoint:
    """A model, its configuration and endpoint, all under one name."""

    def __init__(self, cloud: ChildCloud, name: str) -> None:
        self.cloud, self.name = cloud, name
        self.sagemaker, self.runtime = cloud.client("sagemaker"), cloud.client("sagemaker-runtime")

    def model(self, suffix: str = "", role: str = "endpoint", **container: Any) -> str:
        """A model and its endpoint configuration; the name of both."""
        name = self.name + suffix
        source = {
            "S3Uri": "s3://models/toy/",
            "S3DataType": "S3Prefix",
            "CompressionType": "None",
        }
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=f"arn:aws:iam::000000000000:role/{role}",
            PrimaryContainer={
                "Image": IMAGE,
                "ModelDataSource": {"S3DataSource": source},
                **container,
            },
        )
        variant = {**VARIANT, "ModelName": name}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        return name

    def create(self, **model: Any) -> dict[str, Any]:
        config = self.model(**model)
        self.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=config)
        return self.settled()

    def status(self) -> str:
        return str(self.sagemaker.describe_endpoint(EndpointName=self.name)["EndpointStatus"])

    def settled(self) -> dict[str, Any]:
        """As described, once no creation or update is under way."""
        while True:
            described: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=self.name)
            if described["EndpointStatus"] not in ("Creating", "Updating"):
                return described
            time.sleep(0.05)

    def invoke(self, **request: Any) -> Any:
        body = json.dumps(request).encode()
        answer = self.runtime.invoke_endpoint(EndpointName=self.name, Body=body)
        return json.loads(answer["Body"].read())

    def update(self, suffix: str, deployment: dict[str, Any] | None = None, **model: Any) -> None:
        """Begin to move over to a new model."""
        request = {"DeploymentConfig": deployment} if deployment else {}
        self.sagemaker.update_endpoint(
            EndpointName=self.name, EndpointConfigName=self.model(suffix, **model), **request
        )

    def delete(self) -> None:
        self.sagemaker.delete_endpoint(EndpointName=self.name)
