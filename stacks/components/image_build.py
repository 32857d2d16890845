"""A variant's container image: our code on top of AWS's container, built by CodeBuild."""

from pathlib import Path

from aws_cdk import Duration
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.catalogue.images import BaseImage
from stacks.components.build_step import BUILD_SCRIPTS, BuildSpec, BuildStep, EcrOutput, S3Output
from stacks.components.grants import REGISTRY_LOGIN, grant_unscoped
from stacks.components.sagemaker_endpoint import ServingImage
from stacks.content import content_key, files_below
from stacks.settings import ROOT, Settings, VariantSettings

MODEL_ASSETS = ROOT / "model_assets"


def context_files(variant: str) -> dict[str, Path]:
    """The docker context, by paths below it: the request path and the variant's own folder."""
    return {
        **files_below(MODEL_ASSETS / "sd_contract", "sd_contract/"),
        **files_below(MODEL_ASSETS / "sd_serving", "sd_serving/"),
        **files_below(MODEL_ASSETS / variant, f"{variant}/"),
    }


class ImageBuild(Construct):
    """`image` is named by an immutable tag, its content key `key`; `ready` is when it's there, and
    in `bucket` the object `record`, JSON with its `base_image`, `base_digest`, `image` and
    `media_type`.

    What the base image's tag stands for isn't known at synth, and not in the key: another build of
    the same key may have taken another. `base_image_digest` in the settings pins it.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        variant: VariantSettings,
        repository: ecr.IRepository,
        bucket: s3.IBucket,
        encryption_key: kms.IKey,
        log_group: logs.ILogGroup,
    ) -> None:
        super().__init__(scope, id)
        base = settings.base_image(variant)
        files = context_files(variant.name)
        self.key = content_key(
            {"variant": variant.name, "base": variant.base_image_pinned},
            {**files, "build_image.py": BUILD_SCRIPTS / "build_image.py"},
        )
        self.image = ServingImage(
            repository, repository.repository_uri_for_tag(self.key), f"images/{self.key}.json"
        )
        self.record = self.image.record
        step = BuildStep(
            self,
            "Build",
            key=self.key,
            spec=BuildSpec(
                name=f"image-{variant.name}",
                commands=["python3 -m stacks.build_scripts.build_image"],
                scripts=["build_image.py"],
                files={f"context/{name}": path for name, path in files.items()},
                environment={
                    "SD_BASE_IMAGE": base.pinned,
                    "SD_BUCKET": bucket.bucket_name,
                    "SD_RECORD": self.record,
                    "SD_IMAGE": self.image.uri,
                    "SD_REPOSITORY": repository.repository_name,
                    "SD_DOCKERFILE": f"context/{variant.name}/Dockerfile",
                },
                timeout=Duration.minutes(settings.builds.image_timeout_min),
                # The AWS containers are 10 to 20 GB; the smaller machines have 64 GB of disk.
                compute="BUILD_GENERAL1_LARGE",
                privileged=True,
            ),
            output=EcrOutput(repository, self.key, S3Output(bucket, self.record)),
            encryption_key=encryption_key,
            log_group=log_group,
        )
        _grant_registries(step.role, base, repository)
        step.role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:PutObject"], resources=[bucket.arn_for_objects(self.record)]
            )
        )
        self.ready = step.ready


def _grant_registries(role: iam.Role, base: BaseImage, repository: ecr.IRepository) -> None:
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
    base_arn = role.stack.format_arn(
        service="ecr",
        account=base.account,
        region=base.region,
        resource="repository",
        resource_name=base.repository,
    )
    for statement in (
        iam.PolicyStatement(actions=pull, resources=[base_arn]),
        iam.PolicyStatement(
            actions=[
                *pull,
                "ecr:DescribeImages",
                "ecr:InitiateLayerUpload",
                "ecr:UploadLayerPart",
                "ecr:CompleteLayerUpload",
                "ecr:PutImage",
                # One that SageMaker wouldn't take: the tag can't be pushed again while it's there.
                "ecr:BatchDeleteImage",
            ],
            resources=[repository.repository_arn],
        ),
    ):
        role.add_to_policy(statement)
    grant_unscoped(role, REGISTRY_LOGIN)
