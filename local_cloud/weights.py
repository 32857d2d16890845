"""SD_WEIGHTS: real weights in place of the small model, as context values for the CDK app."""

from __future__ import annotations

import json
from pathlib import Path

from local_cloud.settings import REPOSITORY

HUB = "hub"
# What Stable Diffusion 2.1 base takes; -c values, so they win over the local profile's.
REAL_SIZE = (
    "sd.kinds.diffusers.sizes=512x512",
    "sd.kinds.diffusers.guidance_scale=7.5",
    "sd.kinds.diffusers.dtype=auto",
)


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
    return (*(f"sd.models.{name}.{field}={said}" for field, said in changes.items()), *REAL_SIZE)
