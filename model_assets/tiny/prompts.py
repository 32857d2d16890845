"""Tokenized training prompts, in a vocabulary of only the tokens they use.

Every other token of CLIP's vocabulary shares one row of the embedding, "a word that carries
nothing". It is trained too, by strewing it into prompts and putting it in place of words like "a",
so the model takes a prompt with words it has never seen.
"""

from itertools import islice

import numpy as np
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from model_assets.tiny.data import (
    COLOURS,
    SHAPES,
    SYNONYMS,
    training_combinations,
    training_prompts,
)
from model_assets.tiny.tokenizer import END, PADDING, START, TOKENIZER, VOCABULARY

LENGTH = 77
PROMPTS_EACH = 150
EMPTY_SHARE = 0.1
STRANGE = 0
"""The compact vocabulary's row for every token no training prompt uses."""

_MEANING = [
    *COLOURS,
    *SHAPES,
    *(synonym for others in SYNONYMS.values() for synonym in others),
    "background backdrop canvas picture coloured in is that",
]

Ids = NDArray[np.int64]


class Prompts:
    def __init__(self, seed: int) -> None:
        tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
        rng = np.random.default_rng(seed)
        texts = [
            text
            for combination in training_combinations()
            for text in islice(training_prompts(combination, rng), PROMPTS_EACH)
        ]
        self._prompts: list[list[int]] = tokenizer(texts)["input_ids"]
        self.used = sorted({START, END, PADDING}.union(*self._prompts))
        """Row i + 1 of the compact vocabulary is token `used[i]`; row 0 is every other token."""
        self._row = np.zeros(VOCABULARY, dtype=np.int64)
        self._row[self.used] = np.arange(1, len(self.used) + 1)
        meaning = set().union(*tokenizer(_MEANING)["input_ids"])
        self._meaning = {int(self._row[token]) for token in meaning} - {STRANGE}

    def batch(self, combinations: Ids, rng: np.random.Generator, garbled: bool) -> Ids:
        """One prompt for each of the combinations, some of them empty."""
        rows = np.full((len(combinations), LENGTH), self._row[PADDING])
        for row, combination in zip(rows, combinations, strict=True):
            chosen = self._prompts[combination * PROMPTS_EACH + rng.integers(PROMPTS_EACH)]
            empty = rng.random() < EMPTY_SHARE
            ids = [int(i) for i in self._row[[START, END] if empty else chosen]]
            if not empty:
                ids = self._garbled(ids, rng) if garbled else _strewn(ids, rng)
            row[: len(ids)] = ids
        return rows

    def _garbled(self, ids: list[int], rng: np.random.Generator) -> list[int]:
        """Three prompts in four lose some words that carry nothing, and gain strange ones."""
        if rng.random() < 0.25:
            return ids
        insertion = rng.random() * 0.35
        words: list[int] = []
        for word in ids[1:-1]:
            if rng.random() < insertion:
                words += [STRANGE] * int(rng.integers(1, 3))
            fate = rng.random()
            if word in self._meaning or fate > 0.35:
                words.append(word)
            elif fate > 0.1:
                words.append(STRANGE)
        before, after = (
            [STRANGE] * int(rng.integers(0, most) * (rng.random() < 0.5)) for most in (9, 5)
        )
        return [ids[0], *before, *words, *after, ids[-1]][:LENGTH]


def _strewn(ids: list[int], rng: np.random.Generator) -> list[int]:
    """One prompt in three gains up to four strange words."""
    if rng.random() < 0.35:
        for _ in range(rng.integers(1, 5)):
            ids.insert(int(rng.integers(1, len(ids))), STRANGE)
    return ids
