"""A DeepSpeed for tests: `init_inference` with the effects that 0.12.6's has on a Stable Diffusion
model, minus the kernels. Its graphs have the real ones' traps: they keep the first call's tensors,
copy later ones into them, freeze numbers, and answer from one output tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch


class DeepSpeedDiffusersTransformerBlock(torch.nn.Module):
    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        # The real one keeps the weights, not the block: that mustn't show up as a submodule.
        self._block = (block,)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self._block[0](*inputs, **kwargs)


class Graph:
    def __init__(self, function: Any) -> None:
        self._function = function
        self._inputs: tuple[Any, ...] | None = None
        self._kwargs: dict[str, Any] = {}
        self._output: torch.Tensor | None = None

    def __call__(self, *inputs: Any, **kwargs: Any) -> tuple[torch.Tensor]:
        if self._inputs is None:
            self._inputs, self._kwargs = inputs, kwargs
        else:
            pairs = [*zip(self._inputs, inputs, strict=True)]
            pairs += [(self._kwargs[name], value) for name, value in kwargs.items()]
            for static, value in pairs:
                if torch.is_tensor(value):
                    static.copy_(value)
        result = self._function(*self._inputs, **self._kwargs)[0]
        self._output = result if self._output is None else self._output.copy_(result)
        return (self._output,)


class Wrapped(torch.nn.Module):
    """Of a UNet or a text encoder."""

    def __init__(self, network: Any, *, graph: bool, positional_return_dict: bool = False) -> None:
        super().__init__()
        self.network = network
        self.config = network.config
        self.positional_return_dict = positional_return_dict
        self.run = Graph(self._forward) if graph else self._forward

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.run(*inputs, **kwargs)

    def _forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if self.positional_return_dict:
            # DSUNet passes `return_dict` on as the fourth argument, where the UNet takes class
            # labels: the answer is always an object, never a plain tuple.
            kwargs.pop("return_dict")
        return self.network(*inputs, **kwargs)


class WrappedVae(torch.nn.Module):
    def __init__(self, vae: Any, *, graph: bool) -> None:
        super().__init__()
        self.vae = vae
        self.config = vae.config
        self.decode = Graph(vae.decode) if graph else vae.decode
        self.encode = Graph(vae.encode) if graph else vae.encode


@dataclass
class DeepSpeedDouble:
    skip_blocks: bool = False
    """As the real one does with a diffusers whose classes it doesn't know."""
    fail_with: Exception | None = None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    targets: list[Any] = field(default_factory=list)

    __version__ = "0.12.6"

    def init_distributed(self) -> None:
        self.calls.append(("init_distributed", {}))

    def init_inference(self, model: Any, **kwargs: Any) -> None:
        self.calls.append(("init_inference", kwargs))
        self.targets.append(model)
        assert set(vars(model)) == {"text_encoder", "unet", "vae"}
        graph = kwargs["enable_cuda_graph"]
        if not self.skip_blocks:
            _replace_blocks(model.unet)
        if self.fail_with:
            raise self.fail_with
        model.text_encoder = Wrapped(model.text_encoder, graph=graph)
        model.unet = Wrapped(model.unet, graph=graph, positional_return_dict=True)
        model.vae = WrappedVae(model.vae, graph=graph)
        model.to("cpu")


def _replace_blocks(module: torch.nn.Module) -> None:
    for name, child in module.named_children():
        _replace_blocks(child)
        if type(child).__name__ == "BasicTransformerBlock":
            setattr(module, name, DeepSpeedDiffusersTransformerBlock(child))
