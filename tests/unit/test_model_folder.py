"""The one definition of a whole model: what it takes, and what it says of the rest."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from sd_contract.model_folder import ModelFolder, NotAModel, read_folder, read_model
from stacks.settings import ROOT
from tests.fakes.model_repository import (
    BESIDES,
    INDEX,
    NEEDED,
    SCHEDULER,
    SHAPES,
    TEXT_CONFIG,
    TEXT_ENCODER,
    TOKENIZER_CONFIG,
    UNET,
    UNET_CONFIG,
    VAE,
    VAE_CONFIG,
    VOCAB,
    as_json,
    lone_tokenizer,
    sharded,
    tensors,
    without,
)

SMALL_MODEL = ROOT / "model_assets" / "tiny" / "weights"
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
UNET_INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"


def read(files: Mapping[str, bytes]) -> ModelFolder:
    sizes = {path: len(data) for path, data in files.items()}
    return read_model("the folder", sizes, lambda path: io.BytesIO(files[path]))


def problems(changes: Mapping[str, bytes | None]) -> list[str]:
    """What is said of the model with these files in place of its own; None: without."""
    with pytest.raises(NotAModel) as caught:
        read({path: data for path, data in {**NEEDED, **changes}.items() if data is not None})
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return list(caught.value.problems)


def test_only_what_is_used_is_taken() -> None:
    assert read({**NEEDED, **BESIDES}).files == tuple(sorted(NEEDED))


def test_the_small_model_is_whole() -> None:
    files = read_folder(SMALL_MODEL, "the small model").files
    there = (path for path in SMALL_MODEL.rglob("*") if path.is_file())
    assert files == tuple(sorted(path.relative_to(SMALL_MODEL).as_posix() for path in there))


@pytest.mark.parametrize("path", [path for path in NEEDED if path != "LICENSE"])
def test_what_is_missing_is_named(path: str) -> None:
    if path == "tokenizer/special_tokens_map.json":
        assert path not in read(without(path)).files
    else:
        assert any(problem.startswith(f"{path} is missing") for problem in problems({path: None}))


@pytest.mark.parametrize("path", [path for path in NEEDED if path != "LICENSE"])
@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (POINTER, "is a git-lfs pointer"), (b'{"a": ', "broken|no safetensors")],
    ids=["empty", "pointer", "broken"],
)
def test_a_file_that_is_none_is_refused_by_name(path: str, content: bytes, said: str) -> None:
    found = problems({path: content})
    assert found[0].startswith(path)
    assert any(word in found[0] for word in said.split("|"))


@pytest.mark.parametrize("path", [UNET, VAE, TEXT_ENCODER])
def test_cut_off_weights_are_refused_by_name(path: str) -> None:
    whole = NEEDED[path]
    for cut, said in ((5, "no safetensors"), (60, "cut off within"), (len(whole) - 1, "1 bytes")):
        (problem,) = problems({path: whole[:cut]})
        assert problem.startswith(path)
        assert said in problem
    assert "bytes behind" in problems({path: whole + b"\0"})[0]


def test_everything_wrong_is_told_at_once() -> None:
    found = problems({"model_index.json": as_json({"unet": ["diffusers", "X"]}), UNET: None})
    assert sum("model_index.json has no" in problem for problem in found) == 4
    assert any(problem.startswith(UNET) for problem in found)


def test_pickles_alone_are_refused_and_never_taken() -> None:
    (problem,) = problems({VAE: None, "vae/diffusion_pytorch_model.bin": b"pickle"})
    assert problem.startswith(f"{VAE} is missing (there is vae/diffusion_pytorch_model.bin; a pick")


def test_nothing_large_is_opened_while_a_text_is_wrong() -> None:
    opened = []
    files = {**NEEDED, "scheduler/scheduler_config.json": b"{}"}

    def open_file(path: str) -> io.BytesIO:
        opened.append(path)
        return io.BytesIO(files[path])

    with pytest.raises(NotAModel, match="beta_schedule"):
        read_model("x", {path: len(data) for path, data in files.items()}, open_file)
    assert not [path for path in opened if path.endswith(".safetensors")]


# Names.


@pytest.mark.parametrize("variant", ["", "fp16"])
def test_shards_are_taken_with_their_index(variant: str) -> None:
    shards = sharded(variant=variant)
    model = read({**without(UNET), **shards})
    assert set(model.files) == {*without(UNET), *shards}
    assert list(model.weights["unet"]) == list(shards)[:2]


def test_a_lost_shard_or_index_is_named() -> None:
    shards = sharded()
    for lost in shards:
        found = problems({UNET: None, **shards, lost: None})
        assert found[0].startswith(f"{UNET if lost == UNET_INDEX else lost} is missing")


def test_a_shard_that_lacks_what_the_index_promises_is_named() -> None:
    first, second, _ = shards = sharded()
    found = problems({UNET: None, **shards, second: tensors({"x": (1,)})})
    assert found[0].startswith(f"{second} lacks down_blocks.0.")
    assert any("once more" in p for p in problems({UNET: None, **shards, second: shards[first]}))


@pytest.mark.parametrize("index", [b"{}", b'{"weight_map": {"x": "../y.safetensors"}}'])
def test_an_index_that_leads_nowhere_is_named(index: bytes) -> None:
    assert problems({UNET: None, **sharded(), UNET_INDEX: index})[0].startswith(UNET_INDEX)


def test_a_variant_that_is_the_only_one_is_taken_and_two_are_nobody_s_guess() -> None:
    half, ema = (VAE.replace(".safe", f".{variant}.safe") for variant in ("fp16", "non_ema"))
    assert half in read({**without(VAE), half: NEEDED[VAE]}).files
    (problem,) = problems({VAE: None, half: NEEDED[VAE], ema: NEEDED[VAE]})
    assert half in problem
    assert ema in problem
    assert "pickle" not in problem


# Tokenizers.


def test_a_tokenizer_json_alone_is_a_tokenizer() -> None:
    model = read(lone_tokenizer())
    assert "tokenizer/tokenizer.json" in model.files
    assert (model.tokenizer.vocab, model.tokenizer.merges) == (VOCAB, ("a b</w>",))
    older = {"type": "BPE", "vocab": VOCAB, "merges": ["a b</w>"]}
    assert read(lone_tokenizer(model=older)).tokenizer == model.tokenizer


def test_beside_the_two_files_tokenizer_json_isn_t_taken() -> None:
    both = {**NEEDED, "tokenizer/tokenizer.json": b"{}"}
    assert read(both).files == tuple(sorted(NEEDED))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer/vocab.json": as_json({**VOCAB, "c": 5})}, "vocab.json has ids up to 5, but"),
        ({"tokenizer/vocab.json": b'{"!": "0"}'}, "vocab.json is no vocabulary"),
        ({"tokenizer/added_tokens.json": b'{"<cat>": 9}'}, "ids up to 9"),
        ({"tokenizer/merges.txt": b"#version: 0.2\na c\n"}, "merges.txt has broken merges: 'a c'"),
        ({"tokenizer/merges.txt": b"#version: 0.2\n"}, "merges.txt has broken merges"),
        ({"tokenizer/special_tokens_map.json": b'{"pad_token": "<pad>"}'}, "no '<pad>', the tok"),
    ],
)
def test_a_tokenizer_that_doesn_t_fit_is_refused(changes: dict[str, bytes], said: str) -> None:
    assert any(said in problem for problem in problems(changes))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("model_max_length", 8, "at most the text encoder's 7 positions"),
        ("model_max_length", None, "model_max_length is None"),
        ("tokenizer_class", "T5Tokenizer", "'T5Tokenizer', not CLIP's"),
        ("bos_token", "<begin>", "no '<begin>'"),
        ("added_tokens_decoder", {"12": {"content": "<cat>"}}, "ids up to 12"),
    ],
)
def test_a_tokenizer_s_config_has_to_fit(name: str, value: object, said: str) -> None:
    config = as_json({**TOKENIZER_CONFIG, name: value})
    assert any(said in problem for problem in problems({"tokenizer/tokenizer_config.json": config}))


def test_a_tokenizer_json_of_another_kind_is_refused() -> None:
    with pytest.raises(NotAModel, match=r"tokenizer/tokenizer\.json has no BPE vocabulary"):
        read(lone_tokenizer(model={"type": "WordPiece", "vocab": VOCAB}))


# Configurations and tensors.


@pytest.mark.parametrize(
    ("path", "config", "changes", "said"),
    [
        # inpainting, depth, unCLIP, a distilled guidance, XL
        ("unet", UNET_CONFIG, {"in_channels": 9}, "in_channels is 9; Stable Diffusion 2 has 4"),
        ("unet", UNET_CONFIG, {"in_channels": 5}, "in_channels is 5"),
        ("unet", UNET_CONFIG, {"class_embed_type": "projection"}, "class_embed_type is 'proj"),
        ("unet", UNET_CONFIG, {"time_cond_proj_dim": 256}, "time_cond_proj_dim is 256"),
        ("unet", UNET_CONFIG, {"addition_embed_type": "text_time"}, "addition_embed_type"),
        ("unet", UNET_CONFIG, {"cross_attention_dim": 768}, "768, but the text encoder's"),
        ("unet", UNET_CONFIG, {"block_out_channels": None}, "block_out_channels is None, not a"),
        ("unet", UNET_CONFIG, {"_class_name": "UNet2DModel"}, "_class_name is 'UNet2DModel'"),
        ("vae", VAE_CONFIG, {"latent_channels": 16}, "latent_channels is 16"),
        ("vae", VAE_CONFIG, {"_class_name": "AutoencoderTiny"}, "_class_name"),
        ("text_encoder", TEXT_CONFIG, {"model_type": "t5"}, "model_type is 't5'"),
        ("text_encoder", TEXT_CONFIG, {"num_hidden_layers": "all"}, "is 'all', not a whole"),
        ("scheduler", SCHEDULER, {"prediction_type": "flow"}, "prediction_type is 'flow'"),
        ("scheduler", SCHEDULER, {"beta_schedule": None}, "beta_schedule is None"),
        ("scheduler", SCHEDULER, {"beta_start": "small"}, "beta_start and beta_end are 'small'"),
        ("scheduler", SCHEDULER, {"num_train_timesteps": 0}, "num_train_timesteps is 0"),
    ],
)
def test_what_no_stable_diffusion_2_has_is_refused(
    path: str, config: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    name = "scheduler_config.json" if path == "scheduler" else "config.json"
    found = problems({f"{path}/{name}": as_json({**config, **changes})})
    assert any(p.startswith(f"{path}/{name}: ") and said in p for p in found)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("text_encoder", ["transformers", "CLIPTextModelWithProjection"]),
        ("unet", ["my_module", "UNet2DConditionModel"]),
        ("vae", ["diffusers", "AutoencoderTiny"]),
        ("tokenizer", ["transformers", "T5Tokenizer"]),
        ("scheduler", [None, None]),
        ("scheduler", "PNDMScheduler"),
    ],
)
def test_components_of_another_class_are_refused(name: str, classes: object) -> None:
    (problem,) = problems({"model_index.json": as_json({**INDEX, name: classes})})
    assert "model_index.json has" in problem
    assert name in problem


@pytest.mark.parametrize("path", [UNET, VAE, TEXT_ENCODER])
def test_tensors_that_the_config_asks_for_are_there_in_its_shape(path: str) -> None:
    for name, shape in SHAPES[path].items():
        (problem,) = problems({path: tensors({n: s for n, s in SHAPES[path].items() if n != name})})
        assert problem.startswith(f"{path} lacks ")
        if "norm1" not in name and "query" not in name:
            (problem,) = problems({path: tensors({**SHAPES[path], name: (99, *shape[1:])})})
            assert problem.startswith(f"{path}: {name} is ")


def test_dtypes_that_can_t_be_served_are_refused() -> None:
    for dtype in (np.float32, np.float64):
        assert read({**NEEDED, UNET: tensors(SHAPES[UNET], dtype)})
    (problem,) = problems({UNET: tensors(SHAPES[UNET], np.int8)})
    assert problem.startswith(f"{UNET} has conv_in.weight in I8; F16, BF16, F32, F64 can be serv")
    with_ids = {**load(NEEDED[TEXT_ENCODER]), "text_model.embeddings.position_ids": np.arange(7)}
    assert read({**NEEDED, TEXT_ENCODER: save(with_ids)})


def test_weights_of_another_framework_are_refused() -> None:
    (problem,) = problems({UNET: tensors(SHAPES[UNET], format="flax")})
    assert problem == f"{UNET} was saved for 'flax', not for PyTorch"


@pytest.mark.parametrize(
    "header",
    [
        {"conv_in.weight": {"dtype": "F16", "shape": [2], "data_offsets": [0, 3]}},
        {"conv_in.weight": {"dtype": "F16", "shape": [2], "data_offsets": [4, 8]}},
        {"conv_in.weight": {"dtype": "F16"}},
        {"conv_in.weight": {"dtype": "Q4", "shape": [2], "data_offsets": [0, 1]}},
        [],
    ],
)
def test_a_header_that_contradicts_itself_is_refused(header: object) -> None:
    text = json.dumps(header).encode()
    (problem,) = problems({UNET: len(text).to_bytes(8, "little") + text + bytes(8)})
    assert problem.startswith(f"{UNET} has ")
