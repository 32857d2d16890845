"""What a whole model is: the one definition that settings, the import and the containers go by.

A folder or repository in diffusers' layout with the five components that draw a picture, as
diffusers saves and loads it: a network's weights as safetensors, in one file or in shards, under
the plain name or one variant's ("fp16"); the tokenizer as vocab.json and merges.txt, or as
tokenizer.json alone. Nothing else is asked for, taken or counted: no safety checker, README, pickle
or training checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sd_contract.model_checks import config_problems, index_problems, tensor_problems
from sd_contract.model_layout import CONFIGS, INDEX, SCHEDULER_CONFIG, WEIGHTS
from sd_contract.model_texts import Open, Texts
from sd_contract.model_tokenizer import Tokenizer, read_tokenizer
from sd_contract.model_weights import WeightFiles, weight_files
from sd_contract.tensor_file import Header, NotTensors, read_header


class NotAModel(Exception):
    """Each of `problems` begins with the file's name."""

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        super().__init__(f"{where} is no whole Stable Diffusion 2 model: {'; '.join(problems)}")
        self.problems = tuple(problems)


@dataclass(frozen=True)
class ModelFolder:
    """Paths are POSIX, below the folder."""

    tokenizer: Tokenizer
    weights: Mapping[str, Mapping[str, Header]]
    """By component: its files, in the order of their shards."""
    texts: tuple[str, ...]
    """The other files that are of use, the shards' indexes left out."""
    indexes: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All that a copy of the model has to have."""
        weights = (path for files in self.weights.values() for path in files)
        return tuple(sorted((*self.texts, *self.indexes, *weights)))


def read_model(where: str, sizes: Mapping[str, int], open_file: Open) -> ModelFolder:
    """The model among files of `sizes` in bytes, by path; `where` is for messages.

    Reads the texts and, where nothing is wrong with them, no more of the weights than their
    headers. Raises NotAModel with every mistake found, and whatever `open_file` raises.
    """
    texts = Texts(sizes, open_file)
    index = texts.document(INDEX)
    if index is None:
        raise NotAModel(where, texts.problems)
    texts.problems += index_problems(index)
    configs = {component: texts.document(path) for component, path in CONFIGS.items()}
    texts.problems += config_problems(configs, texts.document(SCHEDULER_CONFIG))
    tokenizer = read_tokenizer(texts, configs["text_encoder"])
    chosen = {component: weight_files(component, texts) for component in WEIGHTS}
    if texts.problems or tokenizer is None:
        raise NotAModel(where, texts.problems)

    problems: list[str] = []
    weights = {}
    for component, config in configs.items():
        files = chosen[component]
        assert config is not None and files is not None  # noqa: PT018 - else there are problems
        weights[component] = _headers(files, sizes, open_file, problems)
        if len(weights[component]) == len(files.files):
            problems += tensor_problems(component, config, weights[component])
    if problems:
        raise NotAModel(where, problems)
    licences = [path for path in sizes if "/" not in path and path.upper().startswith("LICENSE")]
    return ModelFolder(
        tokenizer=tokenizer,
        weights=weights,
        texts=(INDEX, *CONFIGS.values(), SCHEDULER_CONFIG, *tokenizer.files, *sorted(licences)),
        indexes=tuple(files.index for files in chosen.values() if files and files.index),
    )


def read_folder(root: Path, where: str) -> ModelFolder:
    """Links are followed, to folders and to files, as in the hub's cache. Raises NotAModel."""
    return read_model(where, folder_sizes(root), lambda path: (root / path).open("rb"))


def folder_sizes(root: Path) -> dict[str, int]:
    """In bytes, of the files that may be of use: the folder's own and its components'."""
    folders = (root, *(root / name for name in ("scheduler", "tokenizer", *WEIGHTS)))
    return {
        path.relative_to(root).as_posix(): path.stat().st_size
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def _headers(
    files: WeightFiles, sizes: Mapping[str, int], open_file: Open, problems: list[str]
) -> dict[str, Header]:
    """Of those files that have one; the others are among the problems then."""
    headers = {}
    for path in files.files:
        try:
            with open_file(path) as content:
                headers[path] = read_header(content, sizes[path])
        except NotTensors as error:
            problems.append(f"{path} {error}")
    lost = [
        f"{path} lacks {tensor}, which {files.index} puts there"
        for tensor, path in files.shard_of.items()
        if path in headers and tensor not in headers[path].tensors
    ]
    problems += lost[:1]
    return headers
