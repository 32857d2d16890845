"""Texts as vectors: what they are, on every kind, and that nothing else is run for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from djl.deepspeed_engine import accelerate
from djl.loading import Machine, load_engine
from djl.options import DjlOptions
from g5.inference import load as load_g5
from inf2.inference import load as load_inf2
from sd_contract.embeddings import Embeddings, embeddings_invocation, read_embeddings
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.embeddings import embed
from sd_serving.engine import Engine
from sd_serving.errors import EngineError, OutOfMemory
from sd_serving.handler import Call, Handler
from sd_serving.parts import Parts
from tests.fakes import compiled_model
from tests.fakes.deepspeed import DeepSpeedDouble
from tests.fakes.serving import WEIGHTS, FakeParts, LogDouble, config, make_artifact

CPU = torch.device("cpu")
TEXTS = ["a red heart", "a crimson heart on a white background", "two blue stars", "x"]
TOO_LONG = "a heart " * 60
COSINE = 0.999
"""At least, between two variants of one model."""


def matrix(answer: Embeddings) -> np.ndarray:
    return np.array(read_embeddings(answer.to_json()))


@cache
def eager() -> Parts:
    return load_diffusers(WEIGHTS, dtype=torch.float32, device=CPU)


def test_a_vector_is_the_last_hidden_state_at_the_end_of_the_text_normalised() -> None:
    """Which transformers calls the pooled output."""
    model = CLIPTextModel.from_pretrained(str(WEIGHTS / "text_encoder")).float()
    tokenizer = CLIPTokenizer.from_pretrained(str(WEIGHTS / "tokenizer"))
    texts = [*TEXTS, TOO_LONG]
    padded = tokenizer(
        texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        pooled = model(padded.input_ids).pooler_output
    wanted = torch.nn.functional.normalize(pooled, dim=1).numpy()
    found = matrix(embed(eager(), texts))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-5
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6


def load_djl(folder: Path) -> Parts:
    options = DjlOptions.from_properties({"model_id": str(folder), "acceleration": "pytorch"})
    machine = Machine(CPU, False, DeepSpeedDouble)
    return load_engine(options, config(SD_SIZES="64x64"), LogDouble(), machine).parts


def on_deepspeed(folder: Path, *, cuda_graph: bool) -> Parts:
    parts = load_diffusers(folder, dtype=torch.float16, device=CPU, max_pictures_per_pass=3)
    return accelerate(parts, DeepSpeedDouble(), cuda_graph=cuda_graph)


LOADERS: dict[str, Callable[[Path], Parts]] = {
    "g5": lambda folder: load_g5(folder, config()),
    "djl": load_djl,
    "djl on DeepSpeed": lambda folder: on_deepspeed(folder, cuda_graph=False),
    "djl in a CUDA graph": lambda folder: on_deepspeed(folder, cuda_graph=True),
    "inf2": lambda _: load_inf2(compiled_model.artifact(), compiled_model.config()),
    "inf2 in bfloat16": lambda _: load_inf2(
        compiled_model.artifact(dtype="bfloat16"), compiled_model.config()
    ),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_every_kind_gives_the_same_vectors(kind: str, tmp_path: Path) -> None:
    parts = LOADERS[kind](make_artifact(tmp_path / "model"))
    texts = [*TEXTS, TOO_LONG]
    wanted, found = embed(eager(), texts), embed(parts, texts)
    cosines = (matrix(wanted) * matrix(found)).sum(axis=1)
    assert cosines.min() >= COSINE
    assert (found.prompt_tokens, found.warnings) == (wanted.prompt_tokens, wanted.warnings)


def test_no_network_but_the_text_encoder_is_run_and_no_more_at_once_than_it_takes() -> None:
    parts = FakeParts(max_pictures_per_pass=2)
    answer = embed(parts, ["a", "b", "c"])
    assert parts.encode_calls == [["a", "b"], ["c"]]
    assert [*parts.denoise_calls, *parts.decode_calls, *parts.encode_pictures_calls] == []
    assert (answer.dimensions, answer.prompt_tokens) == (3, 9)


def test_the_end_of_a_text_that_is_not_read_is_told() -> None:
    long = " ".join(["word"] * 75 + ["and", "more"])
    assert embed(FakeParts(), ["short", long]).warnings == (
        "input: text 1 has 79 tokens, of which the model reads 77; "
        "this end has no effect: and more",
    )


class Failing(FakeParts):
    def __init__(self, *errors: Exception, state: float = 1.0) -> None:
        super().__init__()
        self.errors = [*errors]
        self.state = state

    def encode(self, prompts: list[str]) -> torch.Tensor:
        if self.errors:
            raise self.errors.pop()
        return torch.full((len(prompts), 77, 3), self.state)


@pytest.mark.parametrize("state", [0.0, float("inf"), float("nan")])
def test_a_vector_without_a_direction_is_a_failure(state: float) -> None:
    with pytest.raises(EngineError, match="a text's vector is not finite"):
        embed(Failing(state=state), ["x"])


def test_memory_that_runs_out_is_given_back() -> None:
    with pytest.raises(OutOfMemory, match="out of memory in text_encoder on cpu"):
        embed(Failing(torch.OutOfMemoryError()), ["x"])


def call(*texts: str) -> Call:
    return Call(embeddings_invocation(texts), request_id="id-1")


def test_texts_and_pictures_of_one_batch_are_answered_each() -> None:
    log = LogDouble()
    handler = Handler(Engine(FakeParts(), config()), config(), log)
    picture = Call(json.dumps({"prompt": "x", "num_inference_steps": 1}).encode())
    replies = handler.respond_batch([call("a secret"), picture, call(""), call("b")])
    assert [reply.status for reply in replies] == [200, 200, 400, 200]
    assert len(read_embeddings(replies[0].body)) == 1
    error = json.loads(replies[2].body)["error"]
    assert error["message"] == "input: string 0 must have 1 to 1000 characters, not 0"
    assert [line["event"] for line in log.lines].count("embeddings") == 2
    assert "secret" not in json.dumps(log.lines)


def test_a_failure_of_the_encoder_is_the_call_s_own() -> None:
    handler = Handler(Engine(Failing(ValueError("x")), config()), config(), LogDouble())
    failed, worked = handler.respond_batch([call("a"), call("b")])
    assert (failed.status, worked.status) == (500, 200)
