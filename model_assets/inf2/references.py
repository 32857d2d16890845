"""What a compiled model is held against: eager float32, and what eager itself loses to rounding.

One model is in memory at a time. Nothing here needs the compiled graphs or a device.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.overrides import TorchFunctionMode

from inf2.artifact import DEFERRED, SAMPLES, Bar, GraphCheck, Parity, ParityPicture, graph_name
from inf2.parity import allowed_rms, draw, psnr_db
from inf2.samples import Sample, relative_rms, save_samples
from sd_serving.diffusers_parts import DiffusersParts, load_diffusers
from sd_serving.edits import pixel_tensor
from sd_serving.networks import load_network

# Of each size's pictures, those whose drawing the networks' inputs are taken from. The first is
# guided, so the UNet has two rows, one for each core.
UNET_PICTURES = 1
VAE_PICTURES = 2
CPU = torch.device("cpu")


@dataclass
class EagerParts(DiffusersParts):
    """The networks as diffusers has them, in the dtypes they are compiled in: the VAE's is
    float32."""

    def encode_pictures(self, pixels: Tensor) -> Tensor:
        latents: Tensor = self.vae.encode(pixels.float(), return_dict=False)[0].mode()
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        image: Tensor = self.vae.decode(latents.float(), return_dict=False)[0]
        return image

    def networks(self) -> Mapping[str, Callable[..., Tensor]]:
        """By part, with the inputs of CompiledParts.networks."""
        return {
            "text_encoder": lambda ids: self.text_encoder(ids)[0],
            "unet": lambda latents, t, embeds: self.denoise(latents, int(t), embeds),
            "vae_encoder": self.encode_pictures,
            "vae_decoder": self.vae.decoder,
            "vae_post_quant_conv": self.vae.post_quant_conv,
        }


def load_eager(weights: Path, dtype: torch.dtype) -> EagerParts:
    loaded = load_diffusers(weights, dtype=dtype, device=CPU)
    if dtype != torch.float32:
        loaded.vae = load_network(weights, "vae", dtype=torch.float32, device=CPU)
    return EagerParts(**vars(loaded))


class Bfloat16Products(TorchFunctionMode):
    """Operands and results of float32 matrix products rounded to bfloat16, the sums within kept in
    float32: what the Neuron compiler's --auto-cast=matmult may make of a float32 network. AWS says
    that it casts the operation; a result left in float32 would be closer, never further off."""

    OPERANDS: Mapping[str, slice] = {
        "conv2d": slice(2),
        "linear": slice(2),
        "matmul": slice(2),
        "bmm": slice(2),
        "baddbmm": slice(1, 3),
        "scaled_dot_product_attention": slice(3),
    }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        operands = self.OPERANDS.get(getattr(func, "__name__", ""))
        if operands is None:
            return func(*args, **(kwargs or {}))
        args = list(args)
        args[operands] = [_rounded(value) for value in args[operands]]
        return _rounded(func(*args, **(kwargs or {})))


def _rounded(value: Tensor) -> Tensor:
    return value.bfloat16().float() if value.dtype == torch.float32 else value


def measure(
    weights: Path,
    out: Path,
    pictures: Sequence[ParityPicture],
    bar: Bar,
    dtype: str,
    *,
    products_in_bfloat16: bool,
) -> Parity:
    """What the gate needs, with the pictures and samples written to `out`. `dtype` is that of the
    text encoder and the UNet."""
    samples = _reference(weights, pictures, out)
    save_samples(samples, out / SAMPLES)
    gc.collect()
    if dtype == "float32" and not products_in_bfloat16:  # eager would only draw the same again
        rms = {graph: [0.0] * len(several) for graph, several in samples.items()}
    else:
        with Bfloat16Products() if products_in_bfloat16 else nullcontext():
            pictures, rms = _eager(weights, dtype, pictures, samples, out)
    gc.collect()
    checks = {
        graph: tuple(
            GraphCheck(
                sample.label,
                eager_rms,
                allowed_rms(eager_rms, "float32" if graph.startswith("vae") else dtype, bar),
            )
            for sample, eager_rms in zip(several, rms[graph], strict=True)
        )
        for graph, several in samples.items()
    }
    return Parity(DEFERRED, bar, checks, tuple(pictures))


def _reference(
    weights: Path, pictures: Sequence[ParityPicture], out: Path
) -> dict[str, list[Sample]]:
    """Writes the pictures to `out`."""
    eager = load_eager(weights, torch.float32)
    samples: dict[str, list[Sample]] = {}
    for number, picture in enumerate(pictures):
        nth = sum(other.size == picture.size for other in pictures[:number])
        with _recorded(eager, samples, picture, number, nth):
            (png,) = draw(eager, [picture], out)
        (out / picture.reference).parent.mkdir(parents=True, exist_ok=True)
        (out / picture.reference).write_bytes(png)
        if nth < VAE_PICTURES:
            samples.setdefault(graph_name("vae_encoder", picture.size), []).append(
                _encoded(eager, png, f"picture {number}")
            )
    with torch.inference_mode():
        samples["text_encoder"] = [
            Sample(f"the prompt {prompt!r}", (ids,), eager.text_encoder(ids)[0])
            for prompt in dict.fromkeys([*(picture.prompt for picture in pictures), ""])
            for ids in [eager.tokenizer.ids([prompt])]
        ]
    return samples


def _encoded(eager: EagerParts, png: bytes, label: str) -> Sample:
    with Image.open(io.BytesIO(png)) as picture:
        pixels = pixel_tensor(np.array(picture))[None]
    with torch.inference_mode():
        return Sample(label, (pixels,), eager.encode_pictures(pixels))


@contextmanager
def _recorded(
    eager: EagerParts,
    samples: dict[str, list[Sample]],
    picture: ParityPicture,
    number: int,
    nth: int,
) -> Iterator[None]:
    """Adds what the UNet and the VAE are given and answer meanwhile. `nth`: of its size."""

    def keep(part: str, label: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        samples.setdefault(graph_name(part, picture.size), []).append(Sample(label, inputs, output))

    def keep_unet(_: Any, args: Any, kwargs: Any, output: Any) -> None:
        latents, t = args
        label = f"time step {int(t)} of picture {number}"
        keep("unet", label, (latents, t, kwargs["encoder_hidden_states"]), output[0])

    def keep_vae(part: str) -> Callable[[Any, Any, Any], None]:
        return lambda _, args, output: keep(part, f"the latents of picture {number}", args, output)

    hooks = []
    if nth < UNET_PICTURES:
        hooks.append(eager.unet.register_forward_hook(keep_unet, with_kwargs=True))
    if nth < VAE_PICTURES:
        for part, network in (
            ("vae_post_quant_conv", eager.vae.post_quant_conv),
            ("vae_decoder", eager.vae.decoder),
        ):
            hooks.append(network.register_forward_hook(keep_vae(part)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _eager(
    weights: Path,
    dtype: str,
    pictures: Sequence[ParityPicture],
    samples: Mapping[str, Sequence[Sample]],
    out: Path,
) -> tuple[list[ParityPicture], dict[str, list[float]]]:
    """The pictures with `eager_db`, and each sample's error."""
    eager = load_eager(weights, getattr(torch, dtype))
    networks = eager.networks()
    with torch.inference_mode():
        rms = {
            graph: [
                relative_rms(networks[graph.split("/")[0]](*sample.inputs), sample.output)
                for sample in several
            ]
            for graph, several in samples.items()
        }
    drawn = [
        replace(picture, eager_db=psnr_db(png, (out / picture.reference).read_bytes()))
        for picture, png in zip(pictures, draw(eager, pictures, out), strict=True)
    ]
    return drawn, rms
