"""CLIP's tokenizer as files that any transformers reads.

`python -m model_assets.tiny.tokenizer bpe_simple_vocab_16e6.txt.gz` writes the vocabulary and the
merges again from the file OpenAI published (the package clip-anytorch carries it). Not by
`save_pretrained`, which writes other files from version to version.
"""

import gzip
import json
import sys
from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
TOKENIZER = WEIGHTS / "tokenizer"
VOCABULARY = 49_408
START, END, PADDING = VOCABULARY - 2, VOCABULARY - 1, 0


def write_tokenizer(bpe_file: Path, folder: Path = TOKENIZER) -> None:
    """CLIP's own vocabulary, from the merges file OpenAI published, as CLIPTokenizer reads it."""
    lines = gzip.decompress(bpe_file.read_bytes()).decode("utf-8").split("\n")
    merges = lines[1 : VOCABULARY - 256 - 2 + 1 - 256]
    characters = list(_byte_characters())
    words = characters + [c + "</w>" for c in characters]
    words += ["".join(merge.split()) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    if len(words) != VOCABULARY:
        raise ValueError(f"{bpe_file} gives {len(words)} tokens, not {VOCABULARY}")
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: i for i, word in enumerate(words)}
    _write(folder / "vocab.json", json.dumps(vocabulary, ensure_ascii=False))
    _write(folder / "merges.txt", "\n".join(["#version: 0.2", *merges]))


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def _byte_characters() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


if __name__ == "__main__":
    write_tokenizer(Path(sys.argv[1]))
