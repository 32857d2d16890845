"""DeepCache (Ma, Fang and Wang, CVPR 2024): between full evaluations of a UNet only its outermost
layer is run, on what the deep rest put out last. Cut there as the paper has it at its fastest."""

from typing import Any


class DeepCache:
    """A `UNet2DConditionModel` called `full` or not. What its last layer takes in, but for the skip
    from the first, is kept of every full call and stands for all between in the others."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self._deep: Any = None
        unet.up_blocks[-1].resnets[-1].register_forward_pre_hook(self._keep)

    def _keep(self, _resnet: Any, inputs: tuple[Any, ...]) -> None:
        joined = inputs[0]  # what comes from below, then the skip
        self._deep = joined[:, : joined.shape[1] - self.unet.conv_in.out_channels]

    def __call__(self, latents: Any, t: Any, embeds: Any, full: bool) -> Any:
        """[B, C, h, w], [1], [B, tokens, D] → predicted noise; a call that isn't full has the
        rows of the one before it."""
        if full:
            return self.unet(latents, t, encoder_hidden_states=embeds, return_dict=False)[0]
        return self._outermost(latents, t, embeds, self._deep)

    def _outermost(self, latents: Any, t: Any, embeds: Any, deep: Any) -> Any:
        import torch

        unet, last = self.unet, self.unet.up_blocks[-1]
        time = unet.time_embedding(unet.time_proj(t.expand(len(latents))).to(latents.dtype))
        joined = torch.cat([deep, unet.conv_in(latents)], dim=1)
        hidden = last.resnets[-1](joined, time)
        hidden = last.attentions[-1](hidden, encoder_hidden_states=embeds, return_dict=False)[0]
        return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
