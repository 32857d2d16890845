"""A toy container image and what it takes to serve it on a local cloud."""

from __future__ import annotations

import json
import time
from typing import Any

from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from local_cloud.image_store import MANIFEST_TYPE, ImageRecord, ImageStore, manifest_of

ROLE_POLICY = {
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
    ],
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
    """The image, a bucket with model data, and the role `endpoint` that may use both."""
    make_image(cloud)
    s3, iam = cloud.client("s3"), cloud.client("iam")
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="toy/weights.txt", Body=b"first")
    s3.put_object(Bucket="models", Key="other/weights.txt", Body=b"not for this role")
    make_role(iam, "endpoint", "sagemaker.amazonaws.com", ROLE_POLICY)


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
