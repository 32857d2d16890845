"""`sd.models`: what can be served, by name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sd_contract.model_checks import text_size
from sd_contract.model_folder import NotAModel, read_folder
from stacks.settings.problems import MISSING, Problem
from stacks.settings.reading import below, read_section
from stacks.settings.rules import Rule, one_of, optional, setting, text

ROOT = Path(__file__).resolve().parents[2]
NAME = text(r"[a-z0-9](-?[a-z0-9]){0,31}", "lower-case letters, digits and single hyphens")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """`folder` is relative to the repository's root; `revision` and `hub_url` are the hub's."""

    source: str = setting(one_of("hub", "folder"))
    # The hub's have at most 96 characters (huggingface_hub, validate_repo_id). What a registration
    # says has bounds: all of it has to fit a parameter.
    id: str = setting(
        text(r"(?a)(?!.{97})[\w.-]+(/[\w.-]+)?", "an id such as owner/name, up to 96 characters")
    )
    revision: str | None = setting(
        optional(text(r"[0-9a-f]{40}", "a commit's 40 hex digits (a branch can move)")), None
    )
    folder: str = setting(text(r".*", "a folder in diffusers format"), "")
    hub_url: str = setting(
        text(r"https?://\S+[^/\s]", "a URL without a slash at its end"), "https://huggingface.co"
    )
    license: str = setting(text(r"[!-~]{1,64}", "a licence's identifier, up to 64 characters"))
    license_url: str = setting(text(r"(?!.{301})https?://[!-~]+", "a URL, up to 300 characters"))

    @property
    def from_hub(self) -> bool:
        return self.source == "hub"

    @property
    def folder_path(self) -> Path:
        return ROOT / self.folder

    @property
    def text_dimensions(self) -> int:
        """Of its texts' vectors. What comes from the hub is a Stable Diffusion 2, all of which have
        OpenCLIP's ViT-H for an encoder (their text_encoder/config.json, hidden_size)."""
        if self.from_hub:
            return 1024
        config = json.loads((self.folder_path / "text_encoder" / "config.json").read_text())
        return int(text_size(config, "hidden_size"))

    def problems(self, path: str) -> list[Problem]:
        if self.from_hub:
            wanted = "a commit's 40 hex digits, of a model on the hub"
            return [] if self.revision else [Problem(f"{path}.revision", MISSING, wanted)]
        try:
            read_folder(self.folder_path, self.folder)
        except NotAModel as error:
            allowed = "a folder with a whole Stable Diffusion 2 in diffusers' layout"
            found = "; ".join(error.problems)
            return [Problem(f"{path}.folder", self.folder, f"{allowed}, but {found}")]
        return []


def read_models(raw: object, problems: list[Problem]) -> Mapping[str, ModelSettings]:
    """By name, those without a problem; an entry that is empty is none."""
    found = {}
    for name, entry in entries("sd.models", raw, NAME, problems).items():
        path = f"sd.models.{name}"
        if model := read_section(ModelSettings, entry, below(path), problems):
            problems += model.problems(path)
            found[name] = model
    return found


def entries(
    path: str, raw: object, names: Rule, problems: list[Problem]
) -> dict[str, Mapping[str, Any]]:
    """The objects of `raw` by name, without those that are empty."""
    if not isinstance(raw, Mapping):
        allowed = f"an object by name; -c {path}.<name>= leaves one out"
        problems.append(Problem(path, MISSING if raw is None else raw, allowed))
        return {}
    found = {}
    for name, entry in raw.items():
        try:
            names.parse(name)
        except ValueError:
            problems.append(Problem(f"{path}.{name}", entry, f"a name of {names.allowed}"))
            continue
        if isinstance(entry, Mapping):
            found[name] = entry
        elif entry not in (None, ""):
            problems.append(Problem(f"{path}.{name}", entry, "an object, or empty to leave it out"))
    return found
