"""A Lambda layer of Python packages that no machine of the user's has to build: CodeBuild does."""

from pathlib import Path

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.build_scripts.build_layer import LayerJob
from stacks.components.artifacts import Storage
from stacks.components.build_step import BUILD_SCRIPTS, BuildSpec, BuildStep, Output
from stacks.components.grants import grant
from stacks.components.python_function import ARCHITECTURE, RUNTIME
from stacks.content import content_key

# Of wheels for Lambda's machines: Amazon Linux 2023 has glibc 2.34 (docs: Lambda runtimes).
PLATFORM = "manylinux_2_28_aarch64"
TIMEOUT = Duration.minutes(15)


class PythonLayer(Construct):
    """`layer` has the packages of `requirements`, a file of stacks/build_scripts/, from PyPI;
    `key` is its content key."""

    def __init__(
        self, scope: Construct, id: str, *, name: str, requirements: str, storage: Storage
    ) -> None:
        super().__init__(scope, id)
        sources = ("build_layer.py", requirements)
        self.key = content_key(
            {"platform": PLATFORM}, {each: Path(BUILD_SCRIPTS, each) for each in sources}
        )
        archive = f"layers/{self.key}.zip"
        step = BuildStep(
            self,
            "Build",
            key=self.key,
            spec=BuildSpec(
                name=f"layer-{name}",
                commands=["python3 -m stacks.build_scripts.build_layer"],
                environment=LayerJob(
                    requirements=f"stacks/build_scripts/{requirements}",
                    bucket=storage.bucket.bucket_name,
                    layer=archive,
                ).to_env()
                | {"PIP_PLATFORM": PLATFORM},
                timeout=TIMEOUT,
            ),
            output=Output(storage.bucket, archive),
            storage=storage,
        )
        grant(
            step.role,
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            storage.bucket.arn_for_objects(archive),
        )
        self.layer = lambda_.LayerVersion(
            self,
            "Layer",
            code=lambda_.Code.from_bucket(storage.bucket, archive),
            compatible_architectures=[ARCHITECTURE],
            compatible_runtimes=[RUNTIME],
        )
        self.layer.node.add_dependency(step.ready)
