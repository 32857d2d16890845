"""What the pages tell to type and where they lead."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.settings import ROOT, SettingsError, load

CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]
PAGES = [
    *(ROOT / room / "README.md" for room in ("", "local_cloud", "model_assets/tiny")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Values that stand for the reader's own.
OWN = re.compile(r"…|/path|\b[A-Z]+_ARN\b|chain\.pem")


def commands(page: Path) -> Iterator[str]:
    """The lines of its blocks of code, and the code in its sentences."""
    in_block = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            in_block = not in_block
        else:
            yield from [line] if in_block else re.findall("`([^`]+)`", line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_are_written_as_the_command_line_takes_them(page: Path) -> None:
    refused = []
    for command in commands(page):
        written = dict(re.findall(r"\b(sd\.[\w.-]+)=([^\s'\"]*)", command))
        given = {name: value for name, value in written.items() if not OWN.search(value)}
        try:
            if given:
                load({**CONTEXT, **given})
        except SettingsError as error:
            # Of what has to stand beside another, that one may be the reader's own.
            refused += [str(found) for found in error.problems if found.setting in given]
    assert refused == []


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, section = link.partition("#")
        target = page.parent / path if path else page
        if link.startswith("https://"):
            continue
        if not target.exists():
            dead.append(link)
        elif section:
            headings = re.findall("^#+ (.+)$", target.read_text(), re.MULTILINE)
            dead += [link] * (section not in map(anchor, headings))
    assert dead == []
