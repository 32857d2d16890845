"""Loads a compiled Stable Diffusion onto Inferentia2. The request path is sd_serving's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inf2.artifact import DEFERRED, CompiledModel, check_digests, parse_model
from inf2.backends import Backend, backend
from inf2.compiled_parts import CompiledParts, load_parts
from inf2.parity import ParityTooLow, quality, require_parity
from sd_contract.manifest import COMPILED
from sd_serving.config import ServingConfig
from sd_serving.manifest import check_manifest
from sd_serving.model_unusable import ModelUnusable


def load(model_dir: Path, config: ServingConfig) -> CompiledParts:
    """Raises ModelUnusable that names everything in which the artifact isn't what this container
    was deployed for. Reads nothing but `model_dir`."""
    manifest = check_manifest(model_dir, config.artifact_key, COMPILED)
    model = parse_model(manifest)
    runtime = backend(config.compile_backend)
    problems = _mismatches(model, config, runtime)
    if problems:
        raise ModelUnusable("the artifact is not for this container: " + "; ".join(problems))
    check_digests(model_dir, manifest)
    parts = load_parts(
        model_dir,
        runtime,
        config.sizes,
        model.dtype,
        compile_backend=model.backend,
        neuron_sdk=model.sdk,
        quality=model.quality,
    )
    if model.parity.status != DEFERRED:
        return parts
    # Compiled without a device: this is the first chance to run the graphs.
    try:
        measured = require_parity(parts, model.parity, model_dir)
    except ParityTooLow as error:
        raise ModelUnusable(str(error)) from error
    return replace(parts, description={**parts.description, "quality": quality(measured)})


def _mismatches(model: CompiledModel, config: ServingConfig, runtime: Backend) -> list[str]:
    """Backend first: the packages of another one need not be installed here."""
    if model.backend != config.compile_backend:
        return [f"backend is {model.backend}, SD_COMPILE_BACKEND is {config.compile_backend}"]
    problems = []
    if model.sdk != config.neuron_sdk:
        problems.append(f"sdk is {model.sdk}, SD_NEURON_SDK is {config.neuron_sdk}")
    installed = runtime.packages()
    problems += [
        f"{name} is {model.packages.get(name)}, this image has {found}"
        for name, found in installed.items()
        if model.packages.get(name) != found
    ]
    if config.dtype not in ("auto", model.dtype):
        problems.append(f"dtype is {model.dtype}, SD_DTYPE is {config.dtype}")
    missing = [str(size) for size in config.sizes if size not in model.sizes]
    if missing:
        compiled = ", ".join(map(str, model.sizes))
        problems.append(f"sizes are {compiled}, SD_SIZES also has {', '.join(missing)}")
    return problems
