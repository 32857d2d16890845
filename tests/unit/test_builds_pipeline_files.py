"""Which files of a repository are taken, and what is said of those that are missing."""

from collections.abc import Iterator

import pytest

from stacks.builds.pipeline_files import INDEX, NotAPipeline, choose
from tests.unit.builds_fakes import MODEL_INDEX, NEEDED


def lacking(*paths: str) -> Iterator[tuple[list[str], str]]:
    for path in paths:
        yield [p for p in NEEDED if p != path], path


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        *lacking("scheduler/scheduler_config.json", "unet/config.json"),
        *lacking("feature_extractor/preprocessor_config.json"),
        ([p for p in NEEDED if not p.startswith("tokenizer/")], r"tokenizer/vocab.json \+"),
        ([p for p in NEEDED if p != "vae/diffusion_pytorch_model.safetensors"], r"vae/\*\.safe"),
    ],
)
def test_what_a_pipeline_lacks_is_named(paths: list[str], named: str) -> None:
    with pytest.raises(NotAPipeline, match=named):
        choose(paths, MODEL_INDEX, "the folder")


def test_everything_lacking_is_named_at_once() -> None:
    with pytest.raises(NotAPipeline) as caught:
        choose([INDEX], {"unet": ["diffusers", "X"]}, "the folder")
    for name in ("scheduler in", "text_encoder in", "vae in", "unet/config.json"):
        assert name in str(caught.value)


def test_weights_as_pickles_only_are_refused_by_name() -> None:
    paths = [p for p in NEEDED if p != "vae/diffusion_pytorch_model.safetensors"]
    with pytest.raises(NotAPipeline, match=r"there is diffusion_pytorch_model\.bin"):
        choose([*paths, "vae/diffusion_pytorch_model.bin"], MODEL_INDEX, "the folder")


def test_a_variant_that_is_the_only_one_gets_the_plain_name() -> None:
    plain = "vae/diffusion_pytorch_model.safetensors"
    half = "vae/diffusion_pytorch_model.fp16.safetensors"
    chosen = choose([*(p for p in NEEDED if p != plain), half], MODEL_INDEX, "the folder")
    assert chosen[plain] == half


def test_two_variants_without_a_plain_one_are_nobody_s_guess() -> None:
    paths = [p for p in NEEDED if p != "vae/diffusion_pytorch_model.safetensors"]
    two = [f"vae/diffusion_pytorch_model.{v}.safetensors" for v in ("fp16", "non_ema")]
    with pytest.raises(NotAPipeline, match=r"fp16.*non_ema"):
        choose([*paths, *two], MODEL_INDEX, "the folder")


def test_shards_are_taken_with_their_index_and_counted() -> None:
    stem = "unet/diffusion_pytorch_model"
    whole = [p for p in NEEDED if p != f"{stem}.safetensors"] + [
        f"{stem}-00001-of-00002.safetensors",
        f"{stem}-00002-of-00002.safetensors",
        f"{stem}.safetensors.index.json",
        f"{stem}.safetensors.index.fp16.json",
    ]
    chosen = choose(whole, MODEL_INDEX, "the folder")
    assert {p for p in chosen if p.startswith("unet/")} == {"unet/config.json", *whole[-4:-1]}
    for lost in whole[-3:-1]:
        with pytest.raises(NotAPipeline, match=lost):
            choose([p for p in whole if p != lost], MODEL_INDEX, "the folder")
