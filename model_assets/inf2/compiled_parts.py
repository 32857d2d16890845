"""The compiled model as the engine's Parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inf2.artifact import graph_name, graph_path
from inf2.backends import CORES, Backend
from sd_contract.size import Size
from sd_serving.deep_cache import DeepHalf
from sd_serving.loaded_parts import LoadedParts, read_common

if TYPE_CHECKING:
    import torch

    Compiled = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class SizedGraphs:
    unet: Compiled
    """On both cores: takes exactly 2 rows."""
    vae_encoder: Compiled
    vae_decoder: Compiled
    vae_post_quant_conv: Compiled


@dataclass
class CompiledParts(LoadedParts):
    """Every graph takes batch 1; any number of rows is cut to fit, so no shape is ever violated."""

    text_encoder: Compiled
    graphs: Mapping[Size, SizedGraphs]
    max_pictures_per_pass: int | None = None
    """No limit: rows never meet in one graph, so pictures are independent anyway, and the more
    rows there are, the fewer pairs are half empty."""

    keeps_deep_half: bool = False
    """A shallow step would need a second graph of the UNet."""

    @property
    def sizes(self) -> tuple[Size, ...]:
        return tuple(self.graphs)

    def encode(self, prompts: list[str]) -> torch.Tensor:
        import torch

        rows = self.tokenizer.ids(prompts).unsqueeze(1)
        return torch.cat([self.text_encoder(ids) for ids in rows]).float()

    def denoise(
        self, latents: torch.Tensor, t: int, embeds: torch.Tensor, deep: DeepHalf | None = None
    ) -> torch.Tensor:
        """Rows are independent, so pairs are cut as they come: with guidance, one picture's two
        rows are a pair and no core idles; an odd last row runs beside a copy of itself."""
        import torch

        assert deep is None
        unet = self._graphs_for(latents).unet
        rows, pair = len(latents), len(CORES)
        step = torch.full((pair,), float(t))
        index = torch.arange(-(-rows // pair) * pair).clamp(max=rows - 1).view(-1, pair)
        latents, embeds = latents.to(self.dtype), embeds.to(self.dtype)
        noise = [unet(latents[two], step, embeds[two]) for two in index]
        return torch.cat(noise)[:rows].float()

    def encode_pictures(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        height, width = pixels.shape[-2:]
        encoder = self.graphs[Size(width, height)].vae_encoder
        return torch.cat([encoder(row) for row in pixels.float().unsqueeze(1)])

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        import torch

        graphs = self._graphs_for(latents)
        return torch.cat(
            [
                graphs.vae_decoder(graphs.vae_post_quant_conv(row))
                for row in latents.float().unsqueeze(1)
            ]
        )

    def networks(self) -> dict[str, Compiled]:
        """Each graph alone, by its folder: float32 in and out but for the text encoder's ids and
        the UNet's time step, the latter rows in any number."""
        networks: dict[str, Compiled] = {"text_encoder": self.text_encoder}
        for size, graphs in self.graphs.items():
            networks |= {
                graph_name("vae_encoder", size): graphs.vae_encoder,
                graph_name("vae_post_quant_conv", size): graphs.vae_post_quant_conv,
                graph_name("vae_decoder", size): graphs.vae_decoder,
                graph_name("unet", size): lambda latents, t, embeds: self.denoise(
                    latents, int(t), embeds
                ),
            }
        return networks

    def _graphs_for(self, latents: torch.Tensor) -> SizedGraphs:
        height, width = latents.shape[-2:]
        return self.graphs[Size(width * self.vae_scale, height * self.vae_scale)]


def load_parts(
    folder: Path, backend: Backend, sizes: tuple[Size, ...], dtype: str, **description: Any
) -> CompiledParts:
    """From an artifact that has been checked. Loads the given sizes only: each takes memory on
    both cores."""
    import torch

    return CompiledParts(
        **read_common(folder),
        text_encoder=backend.load(folder / graph_path("text_encoder")),
        graphs={
            size: SizedGraphs(
                unet=backend.load_pair(folder / graph_path("unet", size)),
                vae_encoder=backend.load(folder / graph_path("vae_encoder", size)),
                vae_decoder=backend.load(folder / graph_path("vae_decoder", size)),
                vae_post_quant_conv=backend.load(folder / graph_path("vae_post_quant_conv", size)),
            )
            for size in sizes
        },
        # Neuron graphs take and give tensors of the host.
        device=torch.device("cpu"),
        dtype=getattr(torch, dtype),
        description=description,
    )
