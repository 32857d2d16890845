"""What determines a compiled model, and the keys taken from it.

The sources are found by following imports, so a module that the compile begins to use counts from
then on, and one that only serving uses never causes a recompile.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from inf2.parts import PARTS
from stacks.content import content_key
from stacks.settings import ROOT
from stacks.settings.compile import CompiledSettings

MODEL_ASSETS = ROOT / "model_assets"
# What a graph is compiled with; the compile itself only puts graphs together.
BACKENDS = "inf2.backends"
# The parts are imported by name.
COMPILE = ("inf2.compile", *(part.module for part in PARTS))
PACKAGES = ("inf2", "sd_contract", "sd_serving")
# Of the model bucket: what a compile needs and leaves on its way to "compiled/".
WORK_FOLDER = "compile-jobs/"


@dataclass(frozen=True)
class CompileKeys:
    artifact: str
    """Of the compiled model."""
    parts: Mapping[str, str]
    """By part: of all that determines its graphs, but for their sizes. So a finished graph is used
    again by every later compile that needs the same."""
    work: str
    """Of what isn't of one part: names the folder in which compiles find each other's graphs."""


def compile_keys(
    variant: CompiledSettings, weights_key: str, root: Path = MODEL_ASSETS
) -> CompileKeys:
    """What the model draws by default (steps, guidance), where it is compiled and on how many
    machines it is served make no difference to it."""
    common = {
        "weights": weights_key,
        "backend": variant.compile.backend,
        "sdk": variant.sdk,
        "image": variant.base_image_pinned,
    }
    parts = {
        part.name: content_key(
            {**common, "dtype": part.dtype(variant.dtype), "options": part.options},
            compile_sources(root, (part.module, BACKENDS)),
        )
        for part in PARTS
    }
    whole = {
        "parts": parts,
        "sizes": [*map(str, variant.sizes)],
        "bar": variant.compile.parity_db,
    }
    return CompileKeys(
        content_key(whole, compile_sources(root)),
        parts,
        content_key({**common, "dtype": variant.dtype}, {}),
    )


def compile_sources(
    root: Path = MODEL_ASSETS, entries: tuple[str, ...] = COMPILE
) -> dict[str, Path]:
    """Modules and every module of ours that they import, by path below `root`. By default the
    compile: all that it needs to run, and what its key is taken from."""
    found: dict[str, Path] = {}
    waiting = [*entries]
    while waiting:
        path = _file_of(root, waiting.pop())
        if path is None or str(path) in found:
            continue
        found[str(path)] = root / path
        package = path.parent / "__init__.py"
        found[str(package)] = root / package
        waiting += _imports(root / path)
    return dict(sorted(found.items()))


def _file_of(root: Path, module: str) -> Path | None:
    """Relative to `root`; None for a module that isn't ours, or a name within one."""
    path = Path(*module.split("."))
    if path.parts[0] not in PACKAGES:
        return None
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (root / candidate).is_file():
            return candidate
    return None


def _imports(path: Path) -> Iterator[str]:
    """Within functions too, where the heavy ones are."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
