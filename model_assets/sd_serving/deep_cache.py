"""DeepCache (Ma et al. 2023): what the deep blocks of a UNet make of a picture changes little from
step to step, so a shallow step takes over what they made in the last full one.

Deep is all but the first block down and the last one up, which are the blocks of the highest
resolution. Written for UNet2DConditionModel of diffusers 0.16 to 0.42 as SD 2.x has it: without
class embeddings, additional conditions or masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class DeepHalf:
    """Of one batch of pictures, kept from step to step."""

    def __init__(self) -> None:
        self.full = True
        """Whether the next step renews it. The first has to, and each that has other rows."""
        self._features: torch.Tensor | None = None

    def denoise(
        self, unet: Any, sample: torch.Tensor, t: torch.Tensor, embeds: torch.Tensor
    ) -> torch.Tensor:
        """[B, C, h, w], [1], [B, tokens, D] → [B, C, h, w]"""
        return (self._renewed if self.full else self._shallow)(unet, sample, t, embeds)

    def _renewed(
        self, unet: Any, sample: torch.Tensor, t: torch.Tensor, embeds: torch.Tensor
    ) -> torch.Tensor:
        def keep(_: Any, __: Any, kwargs: Any) -> None:
            self._features = kwargs["hidden_states"]

        hook = unet.up_blocks[-1].register_forward_pre_hook(keep, with_kwargs=True)
        try:
            noise: torch.Tensor = unet(sample, t, encoder_hidden_states=embeds, return_dict=False)[
                0
            ]
        finally:
            hook.remove()
        return noise

    def _shallow(
        self, unet: Any, sample: torch.Tensor, t: torch.Tensor, embeds: torch.Tensor
    ) -> torch.Tensor:
        if self._features is None or len(self._features) != len(sample):
            raise RuntimeError("a shallow step comes after a full one of as many rows")
        time = unet.time_embedding(unet.time_proj(t.expand(len(sample))).to(sample.dtype))
        highest = unet.conv_in(sample)
        _, passed_on = unet.down_blocks[0](
            hidden_states=highest, temb=time, encoder_hidden_states=embeds
        )
        last = unet.up_blocks[-1]
        beside = (highest, *passed_on)[: len(last.resnets)]
        hidden = last(
            hidden_states=self._features,
            temb=time,
            res_hidden_states_tuple=beside,
            encoder_hidden_states=embeds,
        )
        noise: torch.Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
        return noise
