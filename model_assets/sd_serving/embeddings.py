"""Texts to vectors by the model's own text encoder; no other network is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sd_contract.embeddings import Embeddings
from sd_serving.errors import EngineError, OutOfMemory
from sd_serving.memory import give_memory_back, is_out_of_memory
from sd_serving.parts import Parts

if TYPE_CHECKING:
    import torch


def embed(parts: Parts, texts: Sequence[str]) -> Embeddings:
    """As sd_contract.embeddings says, whatever runs the encoder. Raises EngineError, or OutOfMemory
    with the memory already given back."""
    try:
        vectors = tuple(_vectors(parts, texts))
    except Exception as error:
        if not is_out_of_memory(error):
            raise EngineError(f"text_encoder failed: {error}") from error
    else:
        tokens = [parts.count_tokens(text) for text in texts]
        return Embeddings(vectors, sum(tokens), tuple(_warnings(parts, texts, tokens)))
    # Out here the error, and with it the frames that hold the tensors, is gone.
    give_memory_back()
    raise OutOfMemory(f"out of memory in text_encoder on {parts.device}")


def _vectors(parts: Parts, texts: Sequence[str]) -> Iterator[bytes]:
    import torch

    together = parts.max_pictures_per_pass or len(texts)
    with torch.inference_mode():
        for start in range(0, len(texts), together):
            some = list(texts[start : start + together])
            for text, states in zip(some, parts.encode(some).float().cpu(), strict=True):
                # A text that is too long is cut before its end marker, which stays.
                end = min(parts.count_tokens(text), parts.tokenizer_max_length) - 1
                yield _unit(states[end])


def _unit(state: torch.Tensor) -> bytes:
    import torch

    vector = state / state.norm()
    if not bool(torch.isfinite(vector).all()):
        raise EngineError("a text's vector is not finite")
    data: bytes = vector.numpy().astype("<f4").tobytes()
    return data


def _warnings(parts: Parts, texts: Sequence[str], tokens: Sequence[int]) -> Iterator[str]:
    most = parts.tokenizer_max_length
    for number, (text, counted) in enumerate(zip(texts, tokens, strict=True)):
        if counted > most:
            yield (
                f"input: text {number} has {counted} tokens, of which the model reads {most}; "
                f"this end has no effect: {parts.cut_off(text)}"
            )
