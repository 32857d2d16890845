"""SD_WEIGHTS: real weights in place of the small model, as context values for the CDK app."""

from __future__ import annotations

from pathlib import Path

HUB = "hub"
# What Stable Diffusion 2.1 base takes; -c values, so they win over the local profile's.
REAL_SIZE = (
    "sd.g5.sizes=512x512",
    "sd.g5.guidance_scale=7.5",
    "sd.g5.dtype=auto",
)


def weights_context(value: str) -> tuple[str, ...]:
    """Context pairs for SD_WEIGHTS: empty, "hub", or a diffusers folder, which the app's settings
    check."""
    if not value:
        return ()
    if value == HUB:
        return ("sd.model.source=hub", *_model_of_the_hub(), *REAL_SIZE)
    folder = Path(value).expanduser().resolve()
    return (f"sd.model.folder={folder}", "sd.model.id=custom", *REAL_SIZE)


def _model_of_the_hub() -> tuple[str, ...]:
    import json

    from local_cloud.settings import REPOSITORY

    model = json.loads((REPOSITORY / "cdk.json").read_text())["context"]["sd"]["model"]
    return tuple(f"sd.model.{name}={model[name]}" for name in ("id", "license", "license_url"))
