"""The compiled artifact: where its files lie, and what its manifest says.

unet/<WxH>/model.pt  vae_encoder/<WxH>/model.pt
vae_decoder/<WxH>/model.pt  vae_post_quant_conv/<WxH>/model.pt
text_encoder/model.pt                      one for all sizes: it never sees the picture
tokenizer/*  scheduler/scheduler_config.json  unet/config.json  vae/config.json
parity/<n>.png  parity/samples.safetensors what eager float32 drew and computed, for the parity gate
manifest.json                              written last
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sd_contract.manifest import COMPILED, NAME, Manifest, sha256
from sd_contract.size import Size
from sd_serving.model_unusable import ModelUnusable

COPIED = ("scheduler/scheduler_config.json", "unet/config.json", "vae/config.json")
"""From the weights as they are; the folder `tokenizer` as well."""

PASSED = "passed"
DEFERRED = "deferred"

SAMPLES = "parity/samples.safetensors"
IDENTICAL_DB = 100.0
"""Stands for infinity, which JSON can't say."""


def graph_path(part: str, size: Size | None = None) -> PurePosixPath:
    """Relative to the artifact; without a size for a part that all sizes share."""
    return PurePosixPath(graph_name(part, size)) / "model.pt"


def graph_name(part: str, size: Size | None = None) -> str:
    return f"{part}/{size}" if size else part


@dataclass(frozen=True)
class ParityPicture:
    """One picture of the parity gate. PSNRs are in dB, of PNGs, against eager float32's."""

    prompt: str
    seed: int
    guidance_scale: float
    steps: int
    size: Size
    reference: str
    """PNG in the artifact, drawn by eager float32."""
    eager_db: float = IDENTICAL_DB
    """What eager reaches in the graphs' arithmetic."""
    found_db: float | None = None
    """What the graphs reach; None until they have run."""
    edited: str | None = None
    """The PNG in the artifact that it is an edit of; None: drawn from text alone."""
    strength: float = 0.0
    """Of that edit."""


@dataclass(frozen=True)
class GraphCheck:
    """One graph at one input. Errors are of the whole answer, RMS relative to its own RMS, against
    eager float32's."""

    input: str
    eager_rms: float
    """Of eager in the graph's arithmetic."""
    allowed_rms: float
    found_rms: float | None = None
    """Of the graph; None until it has run."""


@dataclass(frozen=True)
class Bar:
    """What passes."""

    parity_db: float | None
    """Least PSNR of every picture; None: no such bar."""
    rms_ratio: float = 1.5
    """Allowed over eager's, for each graph and input. On the small model, whose compiled bfloat16
    is eager's with its roundings in another order, it is 0.92 to 1.17, and 2.2 to 120 with the sign
    of one of the UNet's attention layers changed."""
    below_eager_db: float = 3.0
    """How far a size's mean may be below the worst of eager's pictures. Not picture by picture:
    where rounding alone decides which picture it becomes, two bfloat16 runs of the small model
    differ by up to 20 dB, to either side, and 8 of 10 sets of 4 would miss."""
    least_db: float = 15.0
    """For that mean, whatever eager reaches: 4 unrelated pictures of the small model reach 11."""
    enough_db: float = 40.0
    """For that mean: more isn't asked, whatever eager reaches."""

    def mean_db(self, eager_db: Sequence[float]) -> float:
        """The least mean of a size's pictures."""
        return max(self.least_db, min(min(eager_db) - self.below_eager_db, self.enough_db))


@dataclass(frozen=True)
class Parity:
    """`deferred`: compiled on a host that can't run the graphs, so whoever loads them first on a
    device has to."""

    status: str
    bar: Bar
    graphs: Mapping[str, tuple[GraphCheck, ...]]
    """By the graph's folder; in the order of SAMPLES."""
    pictures: tuple[ParityPicture, ...]


@dataclass(frozen=True)
class CompiledPart:
    path: str
    seconds: float
    peak_rss_gib: float
    """The highest since the process began, the Neuron compiler's own processes included."""
    reused: bool


@dataclass(frozen=True)
class CompiledModel:
    """What the manifest has besides files and key: enough to refuse a wrong artifact."""

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
    quality: Mapping[str, Any]
    """Parity's figures in short, for people."""


def write_manifest(folder: Path, key: str, model: CompiledModel) -> None:
    """Of every file of `folder`."""
    # Sizes as text, every other class as its fields.
    as_json = json.dumps(model, default=lambda v: str(v) if isinstance(v, Size) else vars(v))
    Manifest.of(folder, key, COMPILED, json.loads(as_json)).write(folder)


def parse_model(manifest: Manifest) -> CompiledModel:
    """Raises ModelUnusable for a manifest that isn't one of a compiled model."""
    fields = manifest.more
    try:
        sizes = tuple(map(Size.parse, fields["sizes"]))
        parts = tuple(CompiledPart(**part) for part in fields["parts"])
        typed = {"sizes": sizes, "parts": parts, "parity": _parity(fields["parity"])}
        return CompiledModel(**{**fields, **typed})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelUnusable(
            f"{NAME} is not one of a compiled model: {type(error).__name__}: {error}"
        ) from error


def _parity(fields: Mapping[str, Any]) -> Parity:
    return Parity(
        status=str(fields["status"]),
        bar=Bar(**fields["bar"]),
        graphs={
            graph: tuple(GraphCheck(**check) for check in checks)
            for graph, checks in fields["graphs"].items()
        },
        pictures=tuple(
            ParityPicture(**{**picture, "size": Size.parse(picture["size"])})
            for picture in fields["pictures"]
        ),
    )


def check_digests(folder: Path, manifest: Manifest) -> None:
    """Raises ModelUnusable that names the files whose content isn't what was compiled.

    A few seconds for gigabytes, once a start, at a point where loading takes minutes.
    """
    files = manifest.files
    changed = [name for name, entry in files.items() if sha256(folder / name) != entry.sha256]
    if changed:
        raise ModelUnusable(f"{NAME}: sha256 differs for {', '.join(sorted(changed))}")
