"""How a variant's model is loaded, as its image names it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

from sd_serving.config import ServingConfig
from sd_serving.model_unusable import ModelUnusable
from sd_serving.parts import Parts


def resolve_loader(name: str) -> Callable[[Any, ServingConfig], Parts]:
    """`module:function` → the function. Raises ModelUnusable."""
    module, _, function = name.partition(":")
    try:
        return cast(
            Callable[[Any, ServingConfig], Parts],
            getattr(importlib.import_module(module), function),
        )
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelUnusable(f"SD_LOADER={name!r} names no function: {error}") from error
