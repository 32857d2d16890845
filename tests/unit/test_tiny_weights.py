"""The committed weights: their layout, and that they draw what is asked."""

import json
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model_assets.tiny.data import Picture, held_out_prompts
from model_assets.tiny.picture_check import describe
from model_assets.tiny.sampling import Sampler
from model_assets.tiny.tokenizer import TOKENIZER, VOCABULARY, WEIGHTS
from sd_contract.model_layout import WEIGHTS as LAID_OUT
from sd_serving.tokenizer import PromptTokenizer

# What OpenAI's own tokenizer gives (clip-anytorch 2.6.0), without start and end; "!" is the padding
# token, as in SD 2.1 base, and keeps id 0 wherever it stands.
TOKENS = {
    "": [],
    "a red circle on a white background": [320, 736, 7117, 525, 320, 1579, 5994],
    "don't we'll they're I'd": [847, 713, 649, 1342, 889, 982, 328, 1896],
    "hello!": [3306, 0],
}


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    torch.set_num_threads(1)
    return Sampler()


def test_the_weights_stay_under_20_megabytes() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 20_000_000


@pytest.mark.parametrize("name", LAID_OUT.values())
def test_every_weight_is_finite_and_half_precision(name: str) -> None:
    state = load_file(WEIGHTS / name)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())


def test_words_unknown_to_the_training_share_one_row() -> None:
    state = load_file(WEIGHTS / LAID_OUT["text_encoder"])
    assert len(state["text_model.embeddings.token_embedding.weight"].unique(dim=0)) < 200


@pytest.mark.parametrize(("text", "tokens"), TOKENS.items())
def test_the_tokenizer_is_clip_s(text: str, tokens: list[int]) -> None:
    ids = PromptTokenizer(TOKENIZER).ids([text])[0].tolist()
    assert len(ids) == 77
    assert ids[: len(tokens) + 2] == [VOCABULARY - 2, *tokens, VOCABULARY - 1]
    assert set(ids[len(tokens) + 2 :]) <= {0}


def test_the_tokenizer_files_hold_the_whole_vocabulary() -> None:
    vocabulary = json.loads((TOKENIZER / "vocab.json").read_text(encoding="utf-8"))
    merges = (TOKENIZER / "merges.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(vocabulary.values()) == list(range(VOCABULARY))
    assert len(merges) == 1 + VOCABULARY - 2 * 256 - 2


def test_pictures_show_what_held_out_prompts_ask_for(sampler: Sampler) -> None:
    prompts = held_out_prompts()[::8]
    pictures = sampler.draw([text for text, _ in prompts], range(len(prompts)))
    right = [
        describe(picture) == asked for picture, (_, asked) in zip(pictures, prompts, strict=True)
    ]
    assert np.mean(right) >= 0.92


def test_diffusers_own_pipeline_draws_it_too() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

        pipeline = StableDiffusionPipeline.from_pretrained(
            WEIGHTS, safety_checker=None, torch_dtype=torch.float32
        )
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator("cpu").manual_seed(4)
        picture = pipeline(
            "a red circle on a white background",
            num_inference_steps=25,
            guidance_scale=4.0,
            generator=generator,
        ).images[0]
    assert describe(picture) == Picture("circle", "red", "white")
