"""An imported model's files, laid out as every container's libraries load them.

Most are the source's own. The rest is put together from it: shards joined, a header with other
names, a tokenizer.json taken apart (sd_contract/model_layout.py says why).
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, cast

from sd_contract.model_folder import ModelFolder
from sd_contract.model_layout import ADDED_TOKENS, MERGES, VOCAB, WEIGHTS
from sd_contract.model_tokenizer import TOKENIZER_JSON, Tokenizer
from sd_contract.model_weights import laid_out_name
from sd_contract.tensor_file import Header, NotTensors, Tensor, read_header, write_header
from stacks.build_scripts.retry import TransferError
from stacks.build_scripts.upload import MADE, File, checked

Open = Callable[[str], BinaryIO]


@dataclass(frozen=True)
class Stored:
    """A file of the import, and how its content is had."""

    file: File
    open: Callable[[], BinaryIO]


def normalized(model: ModelFolder, files: Mapping[str, File], open_file: Open) -> dict[str, Stored]:
    """By the path it gets; `files` are the source's, by path."""

    def as_it_is(path: str) -> Stored:
        return Stored(files[path], lambda: open_file(path))

    made = {path: as_it_is(path) for path in model.texts if path != TOKENIZER_JSON}
    if model.tokenizer.is_alone:
        made |= {path: _text(path, text) for path, text in _texts_of(model.tokenizer).items()}
    for component, headers in model.weights.items():
        made[WEIGHTS[component]] = _weights(component, headers, files, open_file)
    return made


def _texts_of(tokenizer: Tokenizer) -> dict[str, str]:
    """As CLIPTokenizer of transformers 4 reads them: the first line of the merges is passed over,
    added tokens are those that the vocabulary lacks."""
    added = {token: n for token, n in tokenizer.added.items() if token not in tokenizer.vocab}
    return {
        VOCAB: json.dumps(tokenizer.vocab),
        MERGES: "\n".join(("#version: 0.2", *tokenizer.merges, "")),
        **({ADDED_TOKENS: json.dumps(added)} if added else {}),
    }


def _text(path: str, text: str) -> Stored:
    content = text.encode()
    file = File(path, len(content), "sha256", hashlib.sha256(content).hexdigest())
    return Stored(file, lambda: io.BytesIO(content))


def _weights(
    component: str, headers: Mapping[str, Header], files: Mapping[str, File], open_file: Open
) -> Stored:
    tensors: dict[str, Tensor] = {}
    size = 0
    for path, header in headers.items():
        for name, tensor in header.tensors.items():
            tensors[laid_out_name(component, name)] = Tensor(
                tensor.dtype, tensor.shape, tensor.start + size, tensor.end + size
            )
        size += files[path].size - header.data_start
    (path, *more), (header, *_) = headers, headers.values()
    # The libraries refuse a file that doesn't say which framework it is for.
    if not more and tensors == header.tensors and header.metadata.get("format") == "pt":
        return Stored(files[path], lambda: open_file(path))
    beginning = write_header(tensors, {"format": "pt"})
    sources = "".join(files[path].digest for path in headers)
    digest = hashlib.sha256(beginning + sources.encode()).hexdigest()
    file = File(WEIGHTS[component], len(beginning) + size, MADE, digest)

    def pieces() -> Iterator[bytes]:
        parts = (_data(files[path], header, open_file) for path, header in headers.items())
        return chain([beginning], chain.from_iterable(parts))

    return Stored(file, lambda: cast(BinaryIO, _Pieces(pieces())))


def _data(file: File, header: Header, open_file: Open) -> Iterator[bytes]:
    """All that follows a file's header, which must be the one that was read before."""
    with checked(file, open_file(file.path)) as content:
        try:
            again = read_header(content, file.size)
        except NotTensors as error:
            raise TransferError(f"{file.path} {error}") from error
        if again != header:
            raise TransferError(f"{file.path} came damaged: its header has changed")
        while piece := content.read(1 << 20):
            yield piece


class _Pieces(io.RawIOBase):
    """A stream of pieces; a read gives one of them, or less."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return self._rest + b"".join(self._pieces)
        self._rest = self._rest or next(self._pieces, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece
