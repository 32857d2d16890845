"""Out of memory: to tell it from other failures, and to get over it."""

from __future__ import annotations

import gc


def is_out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        # The CPU's allocator, and compiled graphs', have no class of their own.
        isinstance(error, RuntimeError)
        and any(words in str(error).lower() for words in ("can't allocate memory", "out of memory"))
    )


def give_memory_back() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
