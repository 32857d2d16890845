"""A variant's container image: our code on top of AWS's container, built by CodeBuild."""

from pathlib import Path

from aws_cdk import Duration, Stack
from aws_cdk import aws_ecr as ecr
from constructs import Construct

from stacks.build_scripts.build_image import ImageJob
from stacks.catalogue.images import BaseImage
from stacks.components.artifacts import ServingImage, Storage
from stacks.components.build_step import BUILD_SCRIPTS, BuildSpec, BuildStep, Output
from stacks.components.grants import REGISTRY_LOGIN, grant, grant_pull, grant_push, grant_unscoped
from stacks.content import content_key, files_below
from stacks.settings import ROOT, Settings, VariantSettings

MODEL_ASSETS = ROOT / "model_assets"


def context_files(folder: str) -> dict[str, Path]:
    """The docker context, by paths below it: the request path and the kind's own folder."""
    return {
        place: path
        for name in ("sd_contract", "sd_serving", folder)
        for place, path in files_below(MODEL_ASSETS / name, f"{name}/").items()
    }


def base_arn(scope: Construct, base: BaseImage) -> str:
    """Of AWS's repository."""
    return Stack.of(scope).format_arn(
        service="ecr",
        account=base.account,
        region=base.region,
        resource="repository",
        resource_name=base.repository,
    )


class ImageBuild(Construct):
    """`image` is named by an immutable tag, its content key `key`; `ready` is when it's there, and
    in the model bucket its record, JSON with `base_image`, `base_digest`, `image` and `media_type`.

    Variants of one kind on one base share an image. What the base image's tag stands for isn't
    known at synth, and not in the key: another build of the same key may have taken another.
    `base_image_digest` in the settings pins it.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        variant: VariantSettings,
        repository: ecr.IRepository,
        storage: Storage,
    ) -> None:
        super().__init__(scope, id)
        base = settings.base_image(variant)
        files = context_files(variant.folder)
        self.key = content_key(
            {"folder": variant.folder, "base": variant.base_image_pinned},
            {**files, "build_image.py": BUILD_SCRIPTS / "build_image.py"},
        )
        record = f"images/{self.key}.json"
        self.image = ServingImage(repository, repository.repository_uri_for_tag(self.key), record)
        step = BuildStep(
            self,
            "Build",
            key=self.key,
            spec=BuildSpec(
                name=f"image-{variant.name}",
                commands=["python3 -m stacks.build_scripts.build_image"],
                files={f"context/{name}": path for name, path in files.items()},
                environment=ImageJob(
                    key=self.key,
                    base_image=base.pinned,
                    bucket=storage.bucket.bucket_name,
                    record=record,
                    image=self.image.uri,
                    repository=repository.repository_name,
                    dockerfile=f"context/{variant.folder}/Dockerfile",
                ).to_env(),
                timeout=Duration.minutes(settings.builds.image_timeout_min),
                # The AWS containers are 10 to 20 GB; the smaller machines have 64 GB of disk.
                compute="BUILD_GENERAL1_LARGE",
                privileged=True,
            ),
            output=Output(storage.bucket, record, repository, self.key),
            storage=storage,
        )
        grant_pull(step.role, base_arn(self, base))
        # One that SageMaker wouldn't take: the tag can't be pushed again while it's there.
        grant_push(step.role, repository.repository_arn, "ecr:BatchDeleteImage")
        grant(step.role, ["s3:PutObject"], storage.bucket.arn_for_objects(record))
        grant_unscoped(step.role, REGISTRY_LOGIN)
        self.ready = step.ready
