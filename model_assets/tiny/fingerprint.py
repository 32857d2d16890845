"""What this environment makes of the weights, to be compared with another environment's.

`python -m model_assets.tiny.fingerprint > here.json` prints versions, token ids, each sub-model's
output for fixed inputs and three pictures; `--compare there.json` prints the largest differences
between that file and this environment instead.
"""

import argparse
import base64
import hashlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_assets.tiny.data import SIZE
from model_assets.tiny.sampling import Sampler
from model_assets.tiny.tokenizer import WEIGHTS

PROMPTS = (
    ("a red circle on a white background", 1),
    ("blue star, yellow background", 2),
    ("a photo of a green heart on a black background!", 3),
)
LIBRARIES = ("diffusers", "transformers", "torch", "numpy", "safetensors")


def _array(values: NDArray[Any]) -> dict[str, Any]:
    return {
        "shape": list(values.shape),
        "dtype": str(values.dtype),
        "base64": base64.b64encode(np.ascontiguousarray(values).tobytes()).decode(),
    }


def _values(array: dict[str, Any]) -> NDArray[np.float64]:
    raw = np.frombuffer(base64.b64decode(array["base64"]), array["dtype"])
    return raw.reshape(array["shape"]).astype(np.float64)


@torch.no_grad()
def fingerprint(folder: Path = WEIGHTS) -> dict[str, Any]:
    sampler = Sampler.load(folder)
    texts = [text for text, _ in PROMPTS]
    ids = sampler.token_ids(texts)
    words = sampler.text_encoder(ids)[0]
    rng = np.random.default_rng(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    latents = noise(3, 4, SIZE // 8, SIZE // 8)
    outputs = {
        "text_encoder": words,
        "unet": sampler.unet(latents, torch.tensor(500), encoder_hidden_states=words)[0],
        "vae_encoder": sampler.vae.encode(noise(1, 3, SIZE, SIZE))[0].mean,
        "vae_decoder": sampler.vae.decode(latents)[0],
    }
    pictures = []
    for text, seed in PROMPTS:
        pixels = np.asarray(sampler.draw([text], [seed])[0])
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        pictures.append({"prompt": text, "seed": seed, "sha256": digest, **_array(pixels)})
    return {
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        "token_ids": ids.tolist(),
        "outputs": {name: _array(tensor.numpy()) for name, tensor in outputs.items()},
        "pictures": pictures,
    }


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """The largest absolute difference of every output; pictures count from 0 to 255."""

    def largest(a: dict[str, Any], b: dict[str, Any]) -> float:
        return float(np.abs(_values(a) - _values(b)).max())

    pictures = [largest(a, b) for a, b in zip(ours["pictures"], theirs["pictures"], strict=True)]
    return {
        "same_token_ids": ours["token_ids"] == theirs["token_ids"],
        **{
            name: largest(ours["outputs"][name], theirs["outputs"][name])
            for name in ours["outputs"]
        },
        "pictures_of_255": max(pictures),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="model_assets.tiny.fingerprint", description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--compare", type=Path)
    arguments = parser.parse_args()

    result = fingerprint(arguments.weights)
    if arguments.compare:
        theirs = json.loads(arguments.compare.read_text(encoding="utf-8"))
        result = {
            "versions": [result["versions"], theirs["versions"]],
            "largest_difference": differences(result, theirs),
        }
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
