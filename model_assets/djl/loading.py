"""From options and settings to an engine that has made its first picture."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from djl.batch_engine import BatchEngine
from djl.deepspeed_engine import accelerate, check_sizes
from djl.options import DEEPSPEED, PYTORCH, DjlOptions
from djl.sizes import attention_fits
from sd_contract.environment import ConfigError
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import DiffusersParts, choose_dtype, load_diffusers
from sd_serving.logs import Log, print_event
from sd_serving.model_unusable import ModelUnusable
from sd_serving.parts import Parts
from sd_serving.weights import check_weights

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Machine:
    """What the model is put on; tests bring their own."""

    device: torch.device
    runs_kernels: bool
    """DeepSpeed's are CUDA."""
    import_deepspeed: Callable[[], Any]
    attention_fits: Callable[[Size], bool] = attention_fits
    """Whether the kernels draw it right."""


def this_machine() -> Machine:
    import torch

    # DJL's mpirun tells the process its GPU by LOCAL_RANK (djl_python_engine.py).
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", rank) if on_gpu else torch.device("cpu")
    return Machine(device, on_gpu, lambda: importlib.import_module("deepspeed"))


def load(model_dir: Path, config: ServingConfig) -> Parts:
    """For a process without DJL Serving, a bulk job's. Raises ModelUnusable or ConfigError."""
    options = DjlOptions.from_env(os.environ, model_dir)
    return load_engine(options, config, print_event, this_machine()).parts


def load_engine(
    options: DjlOptions, config: ServingConfig, log: Log, machine: Machine
) -> BatchEngine:
    """Raises ModelUnusable or ConfigError; whatever else goes wrong in DeepSpeed becomes the
    former, or a logged fallback where the options allow one."""
    check_weights(options.model_dir, config.artifact_key)
    if options.acceleration == PYTORCH:
        return _ready(_plain(options, config, machine), config)
    if config.dtype not in ("auto", "float16"):
        raise ConfigError(
            [f"SD_DTYPE={config.dtype!r}: auto or float16 with option.acceleration={DEEPSPEED}"]
        )
    try:
        return _ready(_accelerated(options, config, machine), config)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if options.acceleration == DEEPSPEED:
            raise ModelUnusable(
                f"DeepSpeed can't serve this model ({reason}); "
                f"option.acceleration={PYTORCH} serves it without"
            ) from error
        log(
            "acceleration_fallback",
            reason=reason,
            traceback="".join(traceback.format_exception(error)),
        )
    # From the files again: DeepSpeed may have taken the networks half apart.
    return _ready(_plain(options, config, machine, fallback_reason=reason), config)


def _ready(parts: Parts, config: ServingConfig) -> BatchEngine:
    engine = BatchEngine(parts, config)
    engine.warm_up()
    return engine


def _accelerated(options: DjlOptions, config: ServingConfig, machine: Machine) -> Parts:
    import torch

    check_sizes(config.sizes, machine.attention_fits, cuda_graph=options.cuda_graph)
    if not machine.runs_kernels:
        raise ModelUnusable("its kernels need a CUDA device, and PyTorch sees none")
    deepspeed = machine.import_deepspeed()
    parts = _load(options, torch.float16, machine)
    return accelerate(parts, deepspeed, cuda_graph=options.cuda_graph)


def _plain(options: DjlOptions, config: ServingConfig, machine: Machine, **notes: str) -> Parts:
    parts = _load(options, choose_dtype(config.dtype, machine.device), machine)
    return replace(parts, description={"acceleration": "pytorch", **notes})


def _load(options: DjlOptions, dtype: torch.dtype, machine: Machine) -> DiffusersParts:
    return load_diffusers(
        options.model_dir,
        dtype=dtype,
        device=machine.device,
        max_pictures_per_pass=options.max_pictures_per_pass,
        packed=True,
    )
