"""The prompt sets, and scoring by a user's own CLIP."""

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmark.errors import BenchmarkError
from benchmark.prompts import load_prompts
from benchmark.report.quality import clip_scorer, drawn_right
from model_assets.tiny.data import COLOURS, SHAPES
from model_assets.tiny.picture_check import expected
from tests.fakes.benchmark import png

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "count"), [("real", 100), ("tiny", 100), ("held-out", 200)])
def test_different_prompts_with_fixed_seeds(name: str, count: int) -> None:
    prompt_set = load_prompts(name)
    assert len({prompt.text for prompt in prompt_set.prompts}) == count
    assert len({prompt.seed for prompt in prompt_set.prompts}) == count
    assert all(0 <= prompt.seed < 2**32 for prompt in prompt_set.prompts)
    assert all(1 <= len(prompt.text) <= 1000 for prompt in prompt_set.prompts)


def test_real_prompts_vary() -> None:
    lengths = sorted(len(prompt.text.split()) for prompt in load_prompts("real").prompts)
    assert lengths[10] <= 6
    assert lengths[0] <= 2
    assert lengths[-1] >= 40


def test_tiny_prompts_ask_for_everything_the_model_draws() -> None:
    asked = [expected(prompt.text) for prompt in load_prompts("tiny").prompts]
    assert {picture.shape for picture in asked} == set(SHAPES)
    assert {picture.colour for picture in asked} == set(COLOURS)
    assert {picture.background for picture in asked} == set(COLOURS)


def test_a_changed_seed_changes_the_digest(tmp_path: Path) -> None:
    digests = []
    for seed in (1, 2):
        path = tmp_path / f"{seed}.json"
        path.write_text(json.dumps({"prompts": [{"text": "a", "seed": seed}]}))
        digests.append(load_prompts(str(path)).digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize("content", ["{}", '{"prompts": []}', '{"prompts": [{"text": "a"}]}', "x"])
def test_a_broken_prompts_file_is_said_plainly(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(BenchmarkError):
        load_prompts(str(path))


def test_a_blank_picture_is_right_in_nothing_but_its_background() -> None:
    scores = drawn_right("a blue circle on a red background", png("red"))
    assert scores == {
        "right shape": 0.0,
        "right colour": 0.0,
        "right background": 1.0,
        "all right": 0.0,
    }


def test_clip_weights_that_are_not_there_are_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="--clip-weights"):
        clip_scorer(tmp_path / "nothing")


def random_clip(folder: Path) -> None:
    """A CLIP of a few thousand random weights: its scores mean nothing, but they are defined."""
    import torch
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        CLIPProcessor,
        CLIPTokenizer,
    )

    tokenizer = CLIPTokenizer.from_pretrained(ROOT / "model_assets" / "tiny" / "weights/tokenizer")
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    layers |= {"num_attention_heads": 2}
    text = layers | {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    vision = layers | {"image_size": 32, "patch_size": 8}
    torch.manual_seed(7)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=6)
    CLIPModel(config).save_pretrained(folder)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)


def test_clip_score_is_a_hundred_times_the_cosine(tmp_path: Path) -> None:
    import torch
    from transformers import CLIPModel, CLIPProcessor

    random_clip(tmp_path)
    model, processor = CLIPModel.from_pretrained(tmp_path), CLIPProcessor.from_pretrained(tmp_path)
    score = clip_scorer(tmp_path)
    prompts = ["a red circle", "blue", "a heart on a green background", "x"]
    cosines = []
    for prompt in prompts:
        inputs = processor(
            text=[prompt], images=[Image.new("RGB", (16, 16), "red")], return_tensors="pt"
        )
        with torch.inference_mode():
            outputs = model(**inputs)
            cosines.append(100 * float(outputs.logits_per_image / model.logit_scale.exp()))
    assert min(cosines) < 0 < max(cosines)
    scores = [score(prompt, png("red"))["CLIP score"] for prompt in prompts]
    assert scores == pytest.approx([max(0.0, cosine) for cosine in cosines], abs=1e-3)
