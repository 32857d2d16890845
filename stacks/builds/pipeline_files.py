"""Which files of a repository or folder make a diffusers pipeline.

Weights as safetensors only, in one precision, no EMA copies, no checkpoints of other programs.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

INDEX = "model_index.json"
REQUIRED = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
# Components without weights, and what each can't do without: any one of the groups, whole.
WEIGHTLESS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "scheduler": (("scheduler_config.json",),),
    "tokenizer": (("vocab.json", "merges.txt"), ("tokenizer.json",)),
    "feature_extractor": (("preprocessor_config.json",),),
}
# diffusers' and transformers' names: stem[.variant][-00001-of-00002].safetensors and, of shards,
# stem.safetensors.index[.variant].json.
WEIGHTS = re.compile(
    r"(?P<stem>model|diffusion_pytorch_model)(\.(?P<variant>\w+))?"
    r"(-(?P<shard>\d{5})-of-(?P<shards>\d{5}))?\.safetensors"
)
SHARD_INDEX = re.compile(r"(model|diffusion_pytorch_model)\.safetensors\.index\.json")


class NotAPipeline(Exception):
    """Names everything that is missing."""

    def __init__(self, where: str, missing: Iterable[str]) -> None:
        super().__init__(f"{where} is no complete diffusers pipeline: missing {'; '.join(missing)}")


def choose(paths: Iterable[str], index: Mapping[str, Any], where: str) -> dict[str, str]:
    """Source path of every file to take, by the path it shall have.

    `index` is the parsed model_index.json. The two paths differ only where a component has its
    weights in a variant ("fp16") alone: they get the plain name, which every loader looks for.

    Raises NotAPipeline.
    """
    listed = sorted(paths)
    components = sorted(
        name
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and value[0] is not None
    )
    missing = [f"{name} in {INDEX}" for name in REQUIRED if name not in components]
    chosen = {path: path for path in listed if path == INDEX or _is_licence(path)}
    for component in components:
        below = f"{component}/"
        files = [
            path.removeprefix(below)
            for path in listed
            if path.startswith(below) and "/" not in path.removeprefix(below)
        ]
        taken = {name: name for name in files if _is_text(name)}
        if component in WEIGHTLESS:
            groups = WEIGHTLESS[component]
            if not any(set(group) <= set(files) for group in groups):
                missing.append(" or ".join(below + " + ".join(group) for group in groups))
        else:
            weights, lacking = _weights(files)
            taken |= weights
            missing += [below + name for name in lacking]
        chosen |= {below + target: below + source for target, source in taken.items()}
    if missing:
        raise NotAPipeline(where, missing)
    return chosen


def _is_text(name: str) -> bool:
    return name.endswith((".json", ".txt")) and ".index." not in name


def _is_licence(path: str) -> bool:
    return "/" not in path and path.upper().startswith("LICENSE")


def _weights(files: list[str]) -> tuple[dict[str, str], list[str]]:
    """(target → source, what is missing) of a component that has weights."""
    lacking = [] if "config.json" in files else ["config.json"]
    matches = [match for name in files if (match := WEIGHTS.fullmatch(name))]
    plain = [match for match in matches if match["variant"] is None]
    if plain:
        taken = {match[0]: match[0] for match in plain}
        if plain[0]["shards"]:
            whole = range(1, int(plain[0]["shards"]) + 1)
            names = [
                f"{plain[0]['stem']}-{number:05}-of-{plain[0]['shards']}.safetensors"
                for number in whole
            ]
            lacking += [name for name in names if name not in taken]
            indexes = {name: name for name in files if SHARD_INDEX.fullmatch(name)}
            taken |= indexes
            if not indexes:
                lacking.append(f"{plain[0]['stem']}.safetensors.index.json")
        return taken, lacking
    variants = sorted({match["variant"] for match in matches})
    if len(variants) == 1 and len(matches) == 1:
        return {f"{matches[0]['stem']}.safetensors": matches[0][0]}, lacking
    found = ", ".join(match[0] for match in matches) or ", ".join(
        name for name in files if name.endswith((".bin", ".ckpt", ".msgpack"))
    )
    return {}, [*lacking, f"*.safetensors (there is {found or 'nothing like it'})"]
