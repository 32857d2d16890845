"""Whether a model directory holds the weights that this container was deployed for, all of them."""

from __future__ import annotations

from pathlib import Path

from sd_contract.manifest import WEIGHTS
from sd_contract.model_folder import NotAModel, read_folder
from sd_serving.manifest import check_manifest
from sd_serving.model_unusable import ModelUnusable


def check_weights(model_dir: Path, key: str) -> None:
    """By the manifest, then by the definition that the import went by.

    Raises ModelUnusable that names every file at fault.
    """
    check_manifest(model_dir, key, WEIGHTS)
    try:
        read_folder(model_dir, str(model_dir))
    except NotAModel as error:
        raise ModelUnusable(str(error)) from error
