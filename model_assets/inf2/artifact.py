"""The compiled artifact: where its files lie, and what its manifest says.

unet/<WxH>/model.pt  vae_decoder/<WxH>/model.pt  vae_post_quant_conv/<WxH>/model.pt
text_encoder/model.pt                      one for all sizes: it never sees the picture
tokenizer/*  scheduler/scheduler_config.json  unet/config.json  vae/config.json
parity/<n>.png                             what eager float32 drew for the parity gate
manifest.json                              written last
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sd_serving.config import Size, size_text
from sd_serving.errors import ModelUnusable
from sd_serving.manifest import NAME

KIND = "compiled"

COPIED = ("scheduler/scheduler_config.json", "unet/config.json", "vae/config.json")
"""From the weights as they are; the folder `tokenizer` as well."""

PASSED = "passed"
DEFERRED = "deferred"


def graph_path(part: str, size: Size | None = None) -> PurePosixPath:
    """Relative to the artifact; without a size for a part that all sizes share."""
    folder = PurePosixPath(part)
    return (folder / size_text(size) if size else folder) / "model.pt"


@dataclass(frozen=True)
class Picture:
    """One picture of the parity gate."""

    prompt: str
    seed: int
    guidance_scale: float
    steps: int
    size: Size
    reference: str
    """PNG in the artifact, drawn by eager float32."""


@dataclass(frozen=True)
class Parity:
    """`deferred`: compiled on a host that can't run the graphs, so whoever loads them first on a
    device has to draw the pictures; `psnr_db` is empty then."""

    status: str
    bar_db: float
    pictures: tuple[Picture, ...]
    psnr_db: tuple[float, ...]


@dataclass(frozen=True)
class CompiledPart:
    path: str
    seconds: float
    peak_rss_gib: float
    """The highest since the process began, the Neuron compiler's own processes included."""
    reused: bool


@dataclass(frozen=True)
class CompiledModel:
    """What the manifest says beyond `sd_serving.manifest`: enough to refuse a wrong artifact."""

    key: str
    model_id: str
    revision: str
    license: str
    weights_key: str
    sizes: tuple[Size, ...]
    dtype: str
    """Of the UNet and the text encoder; the VAE is float32."""
    backend: str
    sdk: str
    packages: Mapping[str, str]
    parity: Parity
    parts: tuple[CompiledPart, ...]
    peak_rss_gib: float
    """Of the whole compile, the parity gate included."""


def write_manifest(folder: Path, model: CompiledModel) -> None:
    """Lists and digests every file of `folder`; in place at once or not at all."""
    document = {
        "kind": KIND,
        **asdict(model),
        "files": {
            path.relative_to(folder).as_posix(): {
                "size": path.stat().st_size,
                "sha256": sha256(path),
            }
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != NAME
        },
    }
    fresh = folder / f".{NAME}"
    fresh.write_text(json.dumps(document, indent=1), encoding="utf-8")
    os.replace(fresh, folder / NAME)


def parse_model(document: Mapping[str, object]) -> CompiledModel:
    """Raises ModelUnusable for a manifest that isn't one of a compiled model."""
    fields: Mapping[str, Any] = document
    try:
        parity = fields["parity"]
        return CompiledModel(
            key=str(fields["key"]),
            model_id=str(fields["model_id"]),
            revision=str(fields["revision"]),
            license=str(fields["license"]),
            weights_key=str(fields["weights_key"]),
            sizes=tuple(_size(size) for size in fields["sizes"]),
            dtype=str(fields["dtype"]),
            backend=str(fields["backend"]),
            sdk=str(fields["sdk"]),
            packages={str(k): str(v) for k, v in fields["packages"].items()},
            parity=Parity(
                status=str(parity["status"]),
                bar_db=float(parity["bar_db"]),
                pictures=tuple(
                    Picture(**{**picture, "size": _size(picture["size"])})
                    for picture in parity["pictures"]
                ),
                psnr_db=tuple(map(float, parity["psnr_db"])),
            ),
            parts=tuple(CompiledPart(**part) for part in fields["parts"]),
            peak_rss_gib=float(fields["peak_rss_gib"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelUnusable(
            f"{NAME} is not one of a compiled model: {type(error).__name__}: {error}"
        ) from error


def check_digests(folder: Path, document: Mapping[str, object]) -> None:
    """Raises ModelUnusable that names the files whose content isn't what was compiled.

    A few seconds for gigabytes, once a start, at a point where loading takes minutes.
    """
    files: Any = document["files"]
    changed = [name for name, entry in files.items() if sha256(folder / name) != entry["sha256"]]
    if changed:
        raise ModelUnusable(f"{NAME}: sha256 differs for {', '.join(sorted(changed))}")


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:  # hashlib.file_digest needs Python 3.11; the image has 3.10
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _size(value: Sequence[int]) -> Size:
    height, width = value
    return int(height), int(width)
