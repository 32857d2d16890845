"""The generator app's container image, on a public one of Python."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ecr as ecr
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.build_scripts.build_image import ImageJob
from stacks.components.artifacts import Storage
from stacks.components.build_step import BUILD_SCRIPTS, BuildSpec, BuildStep, Output
from stacks.components.grants import REGISTRY_LOGIN, grant, grant_push, grant_unscoped
from stacks.content import content_key, files_below
from stacks.settings import ROOT, Settings

APP = ROOT / "generator_app"
# Docker's official one in ECR's public gallery, which counts no pulls of AWS's own machines.
BASE = "public.ecr.aws/docker/library/python:3.13-slim-bookworm"


class AppImage(Construct):
    """`uri` is there when `ready` is. The repository goes with the stack: it is built again in a
    minute or two."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, storage: Storage) -> None:
        super().__init__(scope, id)
        files = files_below(APP, "generator_app/")
        key = content_key(
            {"base": BASE},
            {**files, "build_app_image.py": BUILD_SCRIPTS / "build_app_image.py"},
        )
        self.repository = ecr.Repository(
            self,
            "Repository",
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            lifecycle_rules=[ecr.LifecycleRule(max_image_count=10)],
            removal_policy=RemovalPolicy.DESTROY,
            empty_on_delete=True,
        )
        acknowledge(
            self.repository,
            "Encrypted with ECR's own keys: public packages and this app's code.",
            "CKV_AWS_136",
        )
        self.uri = self.repository.repository_uri_for_tag(key)
        record = f"images/{key}.json"
        step = BuildStep(
            self,
            "Build",
            key=key,
            spec=BuildSpec(
                name="image-app",
                commands=["python3 -m stacks.build_scripts.build_app_image"],
                files={f"context/{name}": path for name, path in files.items()},
                environment=ImageJob(
                    key=key,
                    base_image=BASE,
                    bucket=storage.bucket.bucket_name,
                    record=record,
                    image=self.uri,
                    repository=self.repository.repository_name,
                    dockerfile="context/generator_app/Dockerfile",
                ).to_env(),
                timeout=Duration.minutes(settings.builds.image_timeout_min),
                privileged=True,
            ),
            output=Output(storage.bucket, record, self.repository, key),
            storage=storage,
        )
        grant_push(step.role, self.repository.repository_arn)
        grant(step.role, ["s3:PutObject"], storage.bucket.arn_for_objects(record))
        grant_unscoped(step.role, REGISTRY_LOGIN)
        self.ready = step.ready
