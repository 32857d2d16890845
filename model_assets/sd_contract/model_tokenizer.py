"""CLIP's tokenizer as files: vocab.json and merges.txt, or tokenizer.json, where transformers 5
keeps both of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sd_contract.model_checks import CLASSES, text_size
from sd_contract.model_layout import ADDED_TOKENS, CONFIGS, MERGES, TOKENIZER_CONFIG, VOCAB
from sd_contract.model_texts import Texts

TOKENIZER_JSON = "tokenizer/tokenizer.json"
SPECIAL_TOKENS = "tokenizer/special_tokens_map.json"
NAMED = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True)
class Tokenizer:
    vocab: Mapping[str, int]
    merges: tuple[str, ...]
    """Two symbols with a space between each."""
    added: Mapping[str, int]
    """Tokens and ids that came later, as with textual inversion."""
    files: tuple[str, ...]

    @property
    def is_alone(self) -> bool:
        """In tokenizer.json, which older libraries don't read without the rest."""
        return TOKENIZER_JSON in self.files


def read_tokenizer(texts: Texts, text_encoder: Mapping[str, Any] | None) -> Tokenizer | None:
    """None where a file of it is missing or broken; the problems say which and why.

    `text_encoder` is its config.json, None where that can't be read.
    """
    config = texts.document(TOKENIZER_CONFIG)
    optional = [path for path in (SPECIAL_TOKENS, ADDED_TOKENS) if path in texts.sizes]
    more = {path: texts.document(path) or {} for path in optional}
    files = (TOKENIZER_CONFIG, *optional)
    if TOKENIZER_JSON in texts.sizes and not {VOCAB, MERGES} <= texts.sizes.keys():
        found = _from_json(texts, files)
    else:
        found = _from_texts(texts, files)
    if found is None or config is None:
        return None
    added = {**found.added, **more.get(ADDED_TOKENS, {}), **_decoder(config)}
    found = Tokenizer(found.vocab, found.merges, added, found.files)
    texts.problems += _token_problems(found, [config, more.get(SPECIAL_TOKENS, {})])
    if text_encoder is not None:
        texts.problems += _fit_problems(found, config, text_encoder)
    return found


def _from_texts(texts: Texts, files: tuple[str, ...]) -> Tokenizer | None:
    vocab, merges = texts.document(VOCAB), texts.read(MERGES)
    if vocab is None or merges is None:
        return None
    # The first line is the format's version.
    lines = merges.decode("utf-8", "replace").strip().splitlines()[1:]
    return Tokenizer(vocab, tuple(lines), {}, (*files, VOCAB, MERGES))


def _from_json(texts: Texts, files: tuple[str, ...]) -> Tokenizer | None:
    """The tokenizers library's own file; merges are pairs or, before 0.20, a text each."""
    document = texts.document(TOKENIZER_JSON)
    if document is None:
        return None
    try:
        model = document["model"]
        if model["type"] != "BPE":
            raise ValueError
        vocab = dict(model["vocab"])
        merges = tuple(m if isinstance(m, str) else " ".join(m) for m in model["merges"])
        added = {str(token["content"]): token["id"] for token in document.get("added_tokens", ())}
    except (KeyError, TypeError, ValueError, AttributeError):
        texts.problems.append(f"{TOKENIZER_JSON} has no BPE vocabulary as CLIP's tokenizer has")
        return None
    return Tokenizer(vocab, merges, added, (*files, TOKENIZER_JSON))


def _decoder(config: Mapping[str, Any]) -> dict[str, int]:
    """Added tokens, as transformers 4.34 to 4.57 write them: by id, in tokenizer_config.json."""
    entries = config.get("added_tokens_decoder")
    if not isinstance(entries, dict):
        return {}
    return {
        str(entry.get("content")): int(number)
        for number, entry in entries.items()
        if isinstance(entry, dict) and number.isdecimal()
    }


def _token_problems(tokenizer: Tokenizer, configs: list[Mapping[str, Any]]) -> Iterator[str]:
    source = TOKENIZER_JSON if tokenizer.is_alone else VOCAB
    ids = [*tokenizer.vocab.values(), *tokenizer.added.values()]
    if not tokenizer.vocab or not all(type(number) is int and number >= 0 for number in ids):
        yield f"{source} is no vocabulary: ids are whole numbers from 0"
    broken = [line for line in tokenizer.merges if not _joins(line, tokenizer.vocab)]
    if not tokenizer.merges or broken:
        where = TOKENIZER_JSON if tokenizer.is_alone else MERGES
        what = f"{broken[0]!r} makes no word of the vocabulary" if broken else "there are none"
        yield f"{where} has broken merges: {what}"
    known = tokenizer.vocab.keys() | tokenizer.added.keys()
    for config in configs:
        for name in NAMED:
            token = config.get(name)
            content = token.get("content") if isinstance(token, dict) else token
            if content is not None and not (isinstance(content, str) and content in known):
                yield f"{source} has no {content!r}, the tokenizer's {name}"


def _fit_problems(
    tokenizer: Tokenizer, config: Mapping[str, Any], text_encoder: Mapping[str, Any]
) -> Iterator[str]:
    rows = text_size(text_encoder, "vocab_size")
    ids = [*tokenizer.vocab.values(), *tokenizer.added.values()]
    highest = max((number for number in ids if type(number) is int), default=0)
    if type(rows) is int and highest >= rows:
        source = TOKENIZER_JSON if tokenizer.is_alone else VOCAB
        yield (
            f"{source} has ids up to {highest}, but by {CONFIGS['text_encoder']} the text "
            f"encoder's embedding has {rows} rows"
        )
    most = text_size(text_encoder, "max_position_embeddings")
    length = config.get("model_max_length")
    if type(most) is int and not (type(length) is int and 2 <= length <= most):
        yield (
            f"{TOKENIZER_CONFIG}: model_max_length is {length!r}; at most the text encoder's "
            f"{most} positions"
        )
    _, classes = CLASSES["tokenizer"]
    if config.get("tokenizer_class", classes[0]) not in classes:
        yield f"{TOKENIZER_CONFIG}: tokenizer_class is {config['tokenizer_class']!r}, not CLIP's"


def _joins(line: str, vocab: Mapping[str, int]) -> bool:
    one, _, other = line.partition(" ")
    return bool(other) and one + other in vocab
