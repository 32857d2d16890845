"""Which of a component's files are its weights, and what its tensors are called.

Files have the names that diffusers and transformers give:
stem.safetensors, or shards and stem.safetensors.index.json, which lists them; of weights saved
as diffusers' variant "fp16" stem.fp16.safetensors, or shards and stem.safetensors.index.fp16.json
(older: .fp16.index.json).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sd_contract.model_layout import WEIGHTS
from sd_contract.model_texts import Texts

_SUFFIX = re.compile(
    r"(\.(?P<weights_variant>\w+))?\.safetensors"
    r"(?P<index>(\.(?P<older>\w+))?\.index(\.(?P<newer>\w+))?\.json)?"
)
# diffusers 0.17 renamed the VAE's attention; transformers 5 drops the beginning of the text
# encoder's names, if not in the files that it writes itself.
_NEW_ATTENTION = re.compile(r"(\.attentions\.\d+\.)(to_q|to_k|to_v|to_out\.0)(?=\.(weight|bias)$)")
_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
_TEXT_MODEL = ("embeddings.", "encoder.", "final_layer_norm.")
_OTHER_FORMATS = (".bin", ".ckpt", ".h5", ".msgpack", ".onnx", ".pt", ".pth", ".safetensors")


@dataclass(frozen=True)
class WeightFiles:
    files: tuple[str, ...]
    """One, or the shards in their order."""
    index: str | None = None
    """The shards'."""
    shard_of: Mapping[str, str] = field(default_factory=dict)
    """Which file each tensor is in, as the index has it."""


def weight_files(component: str, texts: Texts) -> WeightFiles | None:
    """The plain name's before a weights variant's, one file before shards. None, with the reason
    among the problems, where there are none, or several variants and no telling which is meant."""
    stem = WEIGHTS[component].removesuffix(".safetensors")
    found: dict[tuple[str, bool], str] = {}
    for path in sorted(texts.sizes):
        match = _SUFFIX.fullmatch(path.removeprefix(stem)) if path.startswith(stem) else None
        if match:
            weights_variant = match["weights_variant"] or match["older"] or match["newer"] or ""
            found.setdefault((weights_variant, bool(match["index"])), path)
    weights_variants = {weights_variant for weights_variant, _ in found}
    if "" not in weights_variants and len(weights_variants) != 1:
        texts.problems.append(_lacking(component, texts.sizes))
        return None
    weights_variant = "" if "" in weights_variants else weights_variants.pop()
    if (weights_variant, False) in found:
        return WeightFiles((found[weights_variant, False],))
    return _shards(found[weights_variant, True], component, texts)


def laid_out_name(component: str, tensor: str) -> str:
    """A tensor's name as every version of the libraries loads it."""
    if component == "vae":
        return _NEW_ATTENTION.sub(lambda match: match[1] + _OLD_ATTENTION[match[2]], tensor)
    if component == "text_encoder" and tensor.startswith(_TEXT_MODEL):
        return f"text_model.{tensor}"
    return tensor


def _shards(index: str, component: str, texts: Texts) -> WeightFiles | None:
    document = texts.document(index)
    if document is None:
        return None
    names = document.get("weight_map")
    if not isinstance(names, dict) or not names:
        texts.problems.append(f"{index} has no weight_map")
        return None
    if not all(isinstance(name, str) and "/" not in name for name in names.values()):
        texts.problems.append(f"{index} names shards outside its folder")
        return None
    shard_of = {tensor: f"{component}/{name}" for tensor, name in names.items()}
    files = tuple(sorted(set(shard_of.values())))
    missing = [path for path in files if path not in texts.sizes]
    texts.problems += [f"{path} is missing, which {index} names" for path in missing]
    return None if missing else WeightFiles(files, index, shard_of)


def _lacking(component: str, sizes: Mapping[str, int]) -> str:
    below = [path for path in sorted(sizes) if path.startswith(f"{component}/")]
    there = [path for path in below if path.endswith(_OTHER_FORMATS)]
    said = f"there is {', '.join(there)}" if there else "there is nothing like it"
    advice = ""
    if there and not any(path.endswith(".safetensors") for path in there):
        advice = "; a pickle can run code when it is read: save it as safetensors"
    return f"{WEIGHTS[component]} is missing ({said}{advice})"
