"""The model's weights in S3, brought there by CodeBuild from the hub or from a local folder."""

from pathlib import Path

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from sd_contract.model_folder import read_folder
from stacks.components.build_step import BuildSpec, BuildStep, S3Output
from stacks.components.grants import grant_listing, grant_objects
from stacks.content import content_key, files_below
from stacks.settings import ROOT, ModelSettings, Settings

# Raise it when normalize.py makes other files of the same source, so that they come in anew. (Its
# source isn't in the key: a reworded comment would recompile the Inf2 variant.)
LAYOUT = 2
CONTRACT = "model_assets/sd_contract"


def weights_key(model: ModelSettings) -> str:
    """Hub: by id and commit. Folder: by those of its files that are of use, wherever it lies."""
    if model.source == "hub":
        described = {"layout": LAYOUT, "id": model.id, "revision": model.revision}
        return content_key(described, {})
    return content_key({"layout": LAYOUT}, _files_of_use(model))


def _files_of_use(model: ModelSettings, prefix: str = "") -> dict[str, Path]:
    """Of a folder, by path below it, put below `prefix`."""
    root = model.folder_path
    return {f"{prefix}{path}": root / path for path in read_folder(root, model.folder).files}


class Weights(Construct):
    """`prefix` ("weights/<key>/") holds a diffusers pipeline and, written last, manifest.json.

    `revision` is the hub's commit, or for a folder the key itself.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        bucket: s3.Bucket,
        encryption_key: kms.IKey,
        log_group: logs.ILogGroup,
    ) -> None:
        super().__init__(scope, id)
        model = settings.model
        from_hub = model.source == "hub"
        self.key = weights_key(model)
        self.revision = model.revision if from_hub else self.key
        self.prefix = f"weights/{self.key}/"
        step = BuildStep(
            self,
            "Import",
            key=self.key,
            spec=BuildSpec(
                name="weights",
                commands=["python3 -m stacks.build_scripts.import_weights"],
                scripts=["import_weights.py", "hub.py", "normalize.py", "retry.py", "upload.py"],
                files={
                    **files_below(ROOT / CONTRACT, f"{CONTRACT}/"),
                    **({} if from_hub else _files_of_use(model, "weights/")),
                },
                environment={
                    "SD_BUCKET": bucket.bucket_name,
                    "SD_PREFIX": self.prefix,
                    "SD_MODEL_ID": model.id,
                    "SD_REVISION": self.revision,
                    "SD_LICENSE": model.license,
                    "SD_SOURCE": model.hub_url if from_hub else "weights",
                },
                timeout=Duration.minutes(settings.builds.weights_timeout_min),
                compute="BUILD_GENERAL1_MEDIUM",
            ),
            output=S3Output(bucket, f"{self.prefix}manifest.json"),
            encryption_key=encryption_key,
            log_group=log_group,
        )
        grant_objects(
            step.role,
            bucket,
            "weights/",
            # GetObject: to see what an interrupted import has stored already.
            ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"],
            why="the files' names are the model's own; the prefix holds imported weights alone",
        )
        grant_listing(step.role, bucket, "weights/")
        self.ready = step.ready
