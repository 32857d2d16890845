"""Attention in the form that the Neuron compiler fuses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class NeuronAttention:
    """A diffusers attention processor for SD 2.x's UNet and VAE.

    Where queries and keys have one shape (self-attention), the scores are computed transposed, as
    K·Qᵀ with the softmax over dim 1: the layout for which NEURON_FUSE_SOFTMAX has a fused kernel.
    The result is the ordinary one. From aws-neuron-samples, hf_pretrained_sd2_512_inference, which
    writes the scale down as 0.125; `attn.scale` is that in the UNet (heads of 64 channels) and also
    right in the VAE (one head of 512).
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,  # noqa: ARG002 - diffusers passes it to every processor
    ) -> Tensor:
        if attention_mask is not None or attn.spatial_norm is not None or attn.norm_q is not None:
            raise NotImplementedError("attention masks and norms that SD 2.x doesn't have")
        residual = hidden_states
        shape = hidden_states.shape
        if len(shape) == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(context))
        value = attn.head_to_batch_dim(attn.to_v(context))
        weights = _weights(query, key, attn.scale, upcast=attn.upcast_attention)
        mixed = attn.batch_to_head_dim(torch.bmm(weights, value))
        out: Tensor = attn.to_out[1](attn.to_out[0](mixed))
        if len(shape) == 4:
            out = out.transpose(-1, -2).reshape(shape)
        if attn.residual_connection:
            out = out + residual
        scaled: Tensor = out / attn.rescale_output_factor
        return scaled


def _weights(query: Tensor, key: Tensor, scale: float, *, upcast: bool) -> Tensor:
    """[B, Q, C], [B, K, C] → [B, Q, K], rows summing to 1."""
    dtype = query.dtype
    if upcast:
        query, key = query.float(), key.float()
    if query.shape == key.shape:
        scores = torch.bmm(key, query.transpose(1, 2)) * scale
        weights = scores.softmax(dim=1).transpose(1, 2)
    else:
        scores = torch.bmm(query, key.transpose(1, 2)) * scale
        weights = scores.softmax(dim=2)
    return weights.to(dtype)


def use_neuron_attention(network: torch.nn.Module) -> None:
    """Puts the rewrite into every attention layer of a diffusers network, in place."""
    from diffusers.models.attention_processor import Attention

    for layer in network.modules():
        if isinstance(layer, Attention):
            layer.set_processor(NeuronAttention())
