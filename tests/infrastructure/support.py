"""Synthesizing the app in tests, and making templates comparable."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import App

from app import compose
from stacks.settings import ROOT, Settings, load

REGION = "us-east-1"


@dataclass(frozen=True)
class Synthesized:
    """`templates` by stack; `dependencies` of each stack on others, direct ones."""

    settings: Settings
    folder: Path
    templates: dict[str, dict[str, Any]]
    dependencies: dict[str, set[str]]

    def resources(self, stack: str, type: str) -> dict[str, dict[str, Any]]:
        found = self.templates[stack]["Resources"]
        return {name: r for name, r in found.items() if r["Type"] == type}

    def only(self, stack: str, type: str) -> dict[str, Any]:
        """The one resource of the type."""
        (found,) = self.resources(stack, type).values()
        return found


def synthesize(
    folder: Path, then: Callable[[App], None] = lambda _: None, /, **context: str
) -> Synthesized:
    """As `cdk synth -c name=value` does, without the CLI, credentials or an account; `then` may
    change the composed app before."""
    defaults: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = App(context={**defaults, **context}, outdir=str(folder))
    settings = load(app.node.get_all_context(), REGION)
    compose(app, settings)
    then(app)
    app.synth()
    templates = {
        path.name.removesuffix(".template.json"): json.loads(path.read_text())
        for path in sorted(folder.glob("*.template.json"))
    }
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    dependencies = {
        stack: {name for name in artifacts[stack].get("dependencies", ()) if name in templates}
        for stack in templates
    }
    return Synthesized(settings, folder, templates, dependencies)


_HASHES = (
    (re.compile(r"[0-9a-f]{64}"), "<sha256>"),
    # Logical ids that carry a key: its first 12 digits, then CDK's own 8 of the path.
    (re.compile(r"(Handle|Run|Ready)[0-9a-f]{12}[0-9A-F]{8}"), r"\1<key>"),
    (re.compile(r"(?<=Run)[0-9a-f]{12}(?=/)|(?<=Ready)[0-9a-f]{12}$"), "<key>"),
    # An API's deployment is named by a hash of the API.
    (re.compile(r"(Deployment[0-9A-F]{8})[0-9a-f]{32}"), r"\1<md5>"),
    (re.compile(r"compile-\w{12}-"), "compile-<key>-"),
)


def masked(template: dict[str, Any]) -> dict[str, Any]:
    """Without the paths and the bootstrap check that CDK puts into every template."""
    kept = {name: template[name] for name in ("Resources", "Outputs") if name in template}
    text = json.dumps(kept)
    for pattern, replacement in _HASHES:
        text = pattern.sub(replacement, text)
    loaded: dict[str, Any] = json.loads(text)
    for resource in loaded["Resources"].values():
        resource.pop("Metadata", None)
    return loaded


def text_of(value: Any) -> str:
    """A property's text, with what is known only in a deploy shown as <name>."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        separator, parts = argument
        return str(separator).join(map(text_of, parts))
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    return f"<{argument}>" if isinstance(argument, str) else f"<{function}>"
