"""What determines a compiled model, and the keys taken from it.

Pure: no torch, nothing imported from model_assets. The sources are found by following imports, so
a module that the compile begins to use counts from then on, and one that only serving uses never
causes a recompile.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stacks.content import content_key
from stacks.settings import ROOT, Settings

MODEL_ASSETS = ROOT / "model_assets"
ENTRY = "inf2.compile"
PACKAGES = ("inf2", "sd_serving")
# Of the model bucket: what a compile needs and leaves on its way to "compiled/".
WORK_FOLDER = "compile-jobs/"


@dataclass(frozen=True)
class CompileKeys:
    artifact: str
    """Of the compiled model."""
    parts: str
    """The same without the parity gate's bar: a compile that missed the bar goes on from its
    graphs when the bar is lowered."""


def compile_keys(settings: Settings, weights_key: str, root: Path = MODEL_ASSETS) -> CompileKeys:
    """What the model draws by default (steps, guidance), where it is compiled and on how many
    machines it is served make no difference to it."""
    compiling = settings.compile
    parts = content_key(
        {
            "weights": weights_key,
            "sizes": list(compiling.sizes),
            "dtype": compiling.dtype,
            "backend": compiling.backend,
            "sdk": compiling.sdk,
            "image": settings.inf2.base_image_pinned,
        },
        compile_sources(root),
    )
    return CompileKeys(content_key({"parts": parts, "bar": compiling.parity_db}, {}), parts)


def compile_sources(root: Path = MODEL_ASSETS) -> dict[str, Path]:
    """The compile and every module of ours that it imports, by path below `root`: all that it
    needs to run, and what its key is taken from."""
    found: dict[str, Path] = {}
    waiting = [ENTRY]
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
