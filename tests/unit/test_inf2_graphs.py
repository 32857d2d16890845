"""The networks as they are compiled: the attention rewrite, and graphs as strict as Neuron's."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from inf2.artifact import graph_path
from inf2.attention import NeuronAttention, use_neuron_attention
from inf2.backends import TorchScript, backend
from sd_serving.networks import load_network
from tests.fakes.compiled_model import SIZES, artifact
from tests.fakes.serving import WEIGHTS

CPU = torch.device("cpu")


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_attention_rewrite_changes_no_result_of_the_unet() -> None:
    unet = load_network(WEIGHTS, "unet", dtype=torch.float32, device=CPU)
    inputs = (noise(1, 4, 8, 16), torch.tensor([500.0]), noise(1, 77, 64))
    with torch.inference_mode():
        wanted = unet(*inputs, return_dict=False)[0]
        use_neuron_attention(unet)
        found = unet(*inputs, return_dict=False)[0]
    kinds = {type(processor) for processor in unet.attn_processors.values()}
    assert kinds == {NeuronAttention}
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_the_attention_rewrite_changes_no_result_of_the_vae() -> None:
    """Its one head has 4 times the channels of the UNet's: a scale of 0.125 would be wrong."""
    decoder = load_network(WEIGHTS, "vae", dtype=torch.float32, device=CPU).decoder
    latents = noise(1, 4, 8, 8)
    with torch.inference_mode():
        wanted = decoder(latents)
        use_neuron_attention(decoder)
        found = decoder(latents)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_the_encoder_s_graph_gives_the_mode_of_its_latents() -> None:
    vae = load_network(WEIGHTS, "vae", dtype=torch.float32, device=CPU)
    graph = TorchScript().load(artifact() / graph_path("vae_encoder", SIZES[1]))
    pixels = noise(1, 3, 64, 128).tanh()
    with torch.inference_mode():
        wanted = vae.encode(pixels).latent_dist.mode()
        found = graph(pixels)
    assert found.shape == (1, 4, 8, 16)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("upcast", [False, True])
def test_the_attention_rewrite_upcasts_where_the_model_says_so(upcast: bool) -> None:
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(0)
    layer = Attention(32, heads=2, dim_head=16, upcast_attention=upcast).to(torch.bfloat16)
    values = (noise(1, 8, 32) * 3).to(torch.bfloat16)
    with torch.inference_mode():
        found = layer.set_processor(NeuronAttention()) or layer(values)
        layer.set_processor(AttnProcessor2_0())
        exact = layer.float()(values.float())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, atol=0.02, rtol=0.05)


def test_the_attention_rewrite_refuses_what_it_would_get_wrong() -> None:
    from diffusers.models.attention_processor import Attention

    layer = Attention(32, heads=2, dim_head=16, processor=NeuronAttention())
    with pytest.raises(NotImplementedError, match="attention masks"):
        layer(noise(1, 8, 32), attention_mask=torch.zeros(1, 1, 8))


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, noise(2, 4, 8, 8)),
        (0, noise(1, 4, 8, 16)),
        (0, noise(1, 4, 8, 8).double()),
        (1, torch.tensor([5])),
        (2, noise(1, 76, 64)),
        (2, noise(1, 77, 64).bfloat16()),
    ],
    ids=["batch 2", "another size", "float64", "integer step", "76 tokens", "bfloat16"],
)
def test_a_loaded_graph_refuses_any_other_shape_or_dtype(index: int, value: torch.Tensor) -> None:
    graph = TorchScript().load(artifact() / graph_path("unet", SIZES[0]))
    inputs = [noise(1, 4, 8, 8), torch.tensor([999.0]), noise(1, 77, 64)]
    with torch.inference_mode():
        assert graph(*inputs).shape == (1, 4, 8, 8)
        inputs[index] = value
        with pytest.raises(torch.jit.Error, match=f"input {index}: this graph was compiled for"):
            graph(*inputs)


def test_a_loaded_graph_of_one_input_refuses_too() -> None:
    graph = TorchScript().load(artifact() / graph_path("vae_decoder", SIZES[0]))
    with torch.inference_mode(), pytest.raises(torch.jit.Error, match="input 0"):
        graph(noise(2, 4, 8, 8))


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_two_cores_take_two_rows(rows: int) -> None:
    pair = TorchScript().load_pair(artifact() / graph_path("unet", SIZES[0]))
    with pytest.raises(RuntimeError, match="2 cores take as many rows"):
        pair(noise(rows, 4, 8, 8), torch.full((rows,), 999.0), noise(rows, 77, 64))


def test_two_cores_give_what_one_gives_row_by_row() -> None:
    file = artifact() / graph_path("unet", SIZES[0])
    one, pair = TorchScript().load(file), TorchScript().load_pair(file)
    latents, embeds = noise(2, 4, 8, 8), noise(2, 77, 64, seed=1)
    with torch.inference_mode():
        both = pair(latents, torch.full((2,), 999.0), embeds)
        for i in (0, 1):
            alone = one(latents[i : i + 1], torch.tensor([999.0]), embeds[i : i + 1])
            assert torch.equal(both[i : i + 1], alone)


@pytest.mark.parametrize(("name", "on_cpu"), [("cuda", False), ("torchscript", True)])
def test_an_unknown_backend_is_refused(name: str, on_cpu: bool) -> None:
    with pytest.raises(ValueError, match=f"compile backend '{name}'"):
        backend(name, on_cpu=on_cpu)
