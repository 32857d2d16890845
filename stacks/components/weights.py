"""A model's weights in S3, brought there by CodeBuild from the hub or from a local folder."""

from pathlib import Path

from aws_cdk import Duration
from constructs import Construct

from sd_contract.model_folder import read_folder
from stacks.build_scripts.import_weights import WeightsJob
from stacks.components.artifacts import ServedModel, Storage
from stacks.components.build_step import BuildSpec, BuildStep, Output
from stacks.components.grants import grant_listing, grant_objects
from stacks.content import content_key, files_below
from stacks.settings import ROOT, BuildSettings, ModelSettings

# Raise it when normalize.py makes other files of the same source, so that they come in anew. (Its
# source isn't in the key: a reworded comment would recompile the Neuron variants.)
LAYOUT = 2
CONTRACT = "model_assets/sd_contract"


def weights_key(model: ModelSettings) -> str:
    """Hub: by id and commit. Folder: by those of its files that are of use, wherever it lies."""
    if model.from_hub:
        described = {"layout": LAYOUT, "id": model.id, "revision": model.revision}
        return content_key(described, {})
    return content_key({"layout": LAYOUT}, _files_of_use(model))


def _files_of_use(model: ModelSettings, prefix: str = "") -> dict[str, Path]:
    """Of a folder, by path below it, put below `prefix`."""
    root = model.folder_path
    return {f"{prefix}{path}": root / path for path in read_folder(root, model.folder).files}


class Weights(Construct):
    """`served.prefix` ("weights/<key>/") holds a diffusers pipeline and, written last,
    manifest.json. Its revision is the hub's commit, or for a folder the key itself."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        model: ModelSettings,
        builds: BuildSettings,
        storage: Storage,
    ) -> None:
        super().__init__(scope, id)
        key = weights_key(model)
        commit = model.revision if model.from_hub else None
        self.served = ServedModel(storage, f"weights/{key}/", key, commit or key)
        step = BuildStep(
            self,
            "Import",
            key=key,
            spec=BuildSpec(
                name=f"weights-{name}",
                commands=["python3 -m stacks.build_scripts.import_weights"],
                files={
                    **files_below(ROOT / CONTRACT, f"{CONTRACT}/"),
                    **({} if model.from_hub else _files_of_use(model, "weights/")),
                },
                environment=WeightsJob(
                    key=key,
                    source=model.hub_url if model.from_hub else "weights",
                    model_id=model.id,
                    revision=self.served.revision,
                    license=model.license,
                    bucket=storage.bucket.bucket_name,
                    prefix=self.served.prefix,
                ).to_env(),
                timeout=Duration.minutes(builds.weights_timeout_min),
                compute="BUILD_GENERAL1_MEDIUM",
            ),
            output=Output(storage.bucket, self.served.manifest),
            storage=storage,
        )
        grant_objects(
            step.role,
            storage.bucket,
            "weights/",
            # GetObject: to see what an interrupted import has stored already.
            ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"],
            why="the files' names are the model's own; the prefix holds imported weights alone",
        )
        grant_listing(step.role, storage.bucket, "weights/")
