"""DeepCache (Ma, Fang and Wang, CVPR 2024): between full evaluations of a UNet only its outermost
level is run, on what the deep rest put out last."""

from typing import Any


class DeepCache:
    """A `UNet2DConditionModel` called `full` or not. What the last upward block takes in is kept of
    every full call, and stands for all below it in the others."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self._deep: Any = None
        unet.up_blocks[-1].register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _block: Any, _args: Any, inputs: dict[str, Any]) -> None:
        self._deep = inputs["hidden_states"]

    def __call__(self, latents: Any, t: Any, embeds: Any, full: bool) -> Any:
        """[B, C, h, w], [1], [B, tokens, D] → predicted noise; a call that isn't full has the
        rows of the one before it."""
        if full:
            return self.unet(latents, t, encoder_hidden_states=embeds, return_dict=False)[0]
        return self._outermost(latents, t, embeds, self._deep)

    def _outermost(self, latents: Any, t: Any, embeds: Any, deep: Any) -> Any:
        unet = self.unet
        time = unet.time_proj(t.expand(len(latents))).to(latents.dtype)
        time = unet.time_embedding(time)
        hidden = unet.conv_in(latents)
        down = unet.down_blocks[0]
        skips = [hidden]
        # Without its downsampler, whose output only the deep levels take.
        for resnet, attention in zip(down.resnets, down.attentions, strict=True):
            hidden = resnet(hidden, time)
            hidden = attention(hidden, encoder_hidden_states=embeds, return_dict=False)[0]
            skips.append(hidden)
        hidden = unet.up_blocks[-1](
            hidden_states=deep,
            temb=time,
            res_hidden_states_tuple=tuple(skips),
            encoder_hidden_states=embeds,
        )
        return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
