"""Whatever is imported is named in a requirements file, and not only brought along by another."""

import ast
import re
import sys
from importlib.metadata import packages_distributions

from stacks.settings import ROOT

FILES = (
    *("requirements.txt", "requirements-dev.txt"),
    *("generator_app/requirements.txt", "benchmark/requirements-quality.txt"),
)
FOLDERS = ("stacks", "lambda", "model_assets", "local_cloud", "benchmark", "generator_app", "tests")
# AWS's images have these two; the build that starts the compile installs its own requirements; the
# last is of the type checker alone.
ELSEWHERE = {"torch_neuronx", "djl_python", "sagemaker", "_typeshed"}


def imported() -> dict[str, str]:
    """One of the files that import it, by package."""
    found: dict[str, str] = {}
    below = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    for path in (ROOT / "app.py", ROOT / "api_client.py", *below):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            else:
                continue
            found |= {name.split(".")[0]: str(path) for name in names}
    return found


def test_every_package_imported_is_named() -> None:
    ours = {path.name.removesuffix(".py") for folder in (ROOT, ROOT / "lambda",
            ROOT / "model_assets") for path in folder.iterdir()}  # fmt: skip
    named = {
        name.lower().replace("_", "-")
        for file in FILES
        for name in re.findall(r"^[\w-]+", (ROOT / file).read_text(), re.MULTILINE)
    }
    packages = packages_distributions()
    for module, path in imported().items():
        if module in sys.stdlib_module_names or module in ours | ELSEWHERE:
            continue
        distributions = {name.lower().replace("_", "-") for name in packages.get(module, [module])}
        assert distributions & named, f"{module}, imported by {path}, is in no requirements file"
