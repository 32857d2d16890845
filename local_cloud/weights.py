"""SD_WEIGHTS: real weights in place of the small model, as context values for the CDK app."""

from __future__ import annotations

import json
from pathlib import Path

from local_cloud.settings import REPOSITORY

HUB = "hub"


def weights_context(value: str) -> tuple[str, ...]:
    """Context pairs for SD_WEIGHTS: empty, "hub", or a diffusers folder, which the app's settings
    check."""
    if not value:
        return ()
    settings = json.loads((REPOSITORY / "cdk.json").read_text())["context"]["sd"]
    name = settings["variants"][settings["api"]["default_model"]]["model"]
    if value == HUB:
        model = settings["models"][name]
        changes = {"source": "hub", **{k: model[k] for k in ("id", "license", "license_url")}}
    else:
        changes = {"folder": str(Path(value).expanduser().resolve()), "id": "custom"}
    model_pairs = (f"sd.models.{name}.{field}={said}" for field, said in changes.items())
    # As on AWS, for what the local profile has of the small model's: -c values win over it.
    kind = settings["kinds"]["diffusers"]
    drawn = {
        "sizes": ",".join(kind["sizes"]),
        "guidance_scale": kind["guidance_scale"],
        **{f"modes.{mode}.steps": told["steps"] for mode, told in kind["modes"].items()},
        "dtype": "auto",
    }
    return (*model_pairs, *(f"sd.kinds.diffusers.{field}={said}" for field, said in drawn.items()))
