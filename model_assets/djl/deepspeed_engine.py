"""DeepSpeed 0.12.6's kernels put into a Stable Diffusion model, and its CUDA graphs kept from
mixing up their callers. Written from DeepSpeed's source; it never ran on a GPU here.

What `init_inference` does with `replace_with_kernel_inject=True` to an object that is not an
nn.Module but has `text_encoder`, `unet` and `vae` (module_inject/replace_module.py,
generic_injection): every attention and transformer block of the UNet becomes a DeepSpeed one, and
the three networks are wrapped in DSUNet, DSVAE and DSClipEncoder. VAE and text encoder get no
kernels of their own in this version, only the wrapper with its CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from djl.options import GRAPH_ROWS, PYTORCH
from djl.sizes import FITTING
from sd_contract.size import Size
from sd_serving.diffusers_parts import DiffusersParts
from sd_serving.model_unusable import ModelUnusable

if TYPE_CHECKING:
    import torch

_PLAIN_BLOCK = "BasicTransformerBlock"
_INJECTED_BLOCK = "DeepSpeedDiffusersTransformerBlock"


class InjectionTarget:
    """Stands in for the diffusers pipeline that DeepSpeed expects. It may carry nothing but the
    networks: DeepSpeed looks at every attribute."""

    def __init__(self, parts: DiffusersParts) -> None:
        self.text_encoder = parts.text_encoder
        self.unet = parts.unet
        self.vae = parts.vae

    def to(self, device: Any) -> InjectionTarget:
        for network in (self.text_encoder, self.unet, self.vae):
            network.to(device)
        return self


def init_inference(deepspeed: Any, target: InjectionTarget, *, cuda_graph: bool) -> None:
    """The one call into DeepSpeed; it changes `target` in place. The arguments are those of DJL's
    own handler for this image (djl_python/stable-diffusion.py) without the deprecated
    `replace_method`. float16 because the kernels exist in nothing else."""
    import torch

    deepspeed.init_distributed()
    deepspeed.init_inference(
        target,
        dtype=torch.float16,
        tensor_parallel={"tp_size": 1},
        replace_with_kernel_inject=True,
        enable_cuda_graph=cuda_graph,
    )


def check_sizes(sizes: tuple[Size, ...], fits: Callable[[Size], bool], *, cuda_graph: bool) -> None:
    """Raises ModelUnusable for sizes that the kernels or the graphs can't do."""
    wrong = [size for size in sizes if not fits(size)]
    if wrong:
        raise ModelUnusable(
            f"DeepSpeed's attention is right for {', '.join(FITTING)} alone, and SD_SIZES serves "
            f"{', '.join(map(str, wrong))}; option.acceleration={PYTORCH} takes any size"
        )
    if cuda_graph and len(sizes) > 1:
        raise ModelUnusable(
            "option.enable_cuda_graph=true takes one size, and SD_SIZES serves "
            f"{', '.join(map(str, sizes))}"
        )


def accelerate(parts: DiffusersParts, deepspeed: Any, *, cuda_graph: bool) -> DiffusersParts:
    """The same model on DeepSpeed's kernels. `parts` must not be used any more: its UNet has been
    taken apart, also where this fails.

    Raises ModelUnusable where DeepSpeed left blocks as they were, which it does in silence for a
    diffusers it doesn't know; what else DeepSpeed raises comes through.
    """
    target = InjectionTarget(parts)
    init_inference(deepspeed, target, cuda_graph=cuda_graph)
    for name in ("text_encoder", "unet", "vae"):
        if getattr(target, name) is getattr(parts, name):
            raise ModelUnusable(f"DeepSpeed left the {name} as it was")
    left, injected = (_count(target.unet, name) for name in (_PLAIN_BLOCK, _INJECTED_BLOCK))
    if left or not injected:
        raise ModelUnusable(
            f"DeepSpeed put its kernels into {injected} of {left + injected} transformer blocks"
        )
    description = {
        "acceleration": "deepspeed",
        "deepspeed": str(deepspeed.__version__),
        "cuda_graph": cuda_graph,
    }
    result = replace(parts, description=description, keeps_deep_half=False, **vars(target))
    if cuda_graph:
        result.text_encoder = GraphedTextEncoder(target.text_encoder)
        result.unet = GraphedUNet(target.unet)
        result.vae = GraphedVae(target.vae, parts.vae)
        result.max_pictures_per_pass = 1
    return result


def _count(network: Any, class_name: str) -> int:
    return sum(type(module).__name__ == class_name for module in network.modules())


# DeepSpeed's wrappers capture a graph from the tensors of their first call (model_implementations/
# diffusers/unet.py, vae.py; transformers/clip_encoder.py) and keep those tensors: every later call
# is copied into them and answered from the one output tensor. So a call must have the first one's
# shape (a smaller one would be broadcast without a word), must hand over tensors that nobody else
# writes to, and must copy its answer before the next call. A number would be frozen in the graph.


class GraphedTextEncoder:
    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def __call__(self, ids: torch.Tensor) -> tuple[torch.Tensor]:
        """[1, tokens] → [1, tokens, D]"""
        return (self._encoder(ids.clone())[0].clone(),)


class GraphedUNet:
    def __init__(self, unet: Any) -> None:
        self._unet = unet
        self.config = unet.config

    def __call__(
        self,
        sample: torch.Tensor,
        t: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """1 or 2 rows; one is filled up with itself, which guidance 1 pays for."""
        rows = sample.shape[0]
        filled = [*range(rows), *[rows - 1] * (GRAPH_ROWS - rows)]
        output = self._unet(
            sample[filled],
            t.clone(),
            encoder_hidden_states=encoder_hidden_states[filled],
            return_dict=return_dict,
        )[0]
        return (output[:rows].clone(),)


class GraphedVae:
    """`plain` is the same VAE without a graph. It encodes, as that answers with a distribution
    whose tensors the graph would write to."""

    def __init__(self, vae: Any, plain: Any) -> None:
        self._vae = vae
        self.config = vae.config
        self.encode = plain.encode

    def decode(self, latents: torch.Tensor, return_dict: bool = False) -> tuple[torch.Tensor]:
        """[1, C, h, w] → [1, 3, H, W]"""
        return (self._vae.decode(latents.clone(), return_dict=return_dict)[0].clone(),)
