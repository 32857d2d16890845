"""A prompt as the text encoder takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class PromptTokenizer:
    """CLIP's tokenizer from `<folder>`, as the pipeline of diffusers applies it."""

    def __init__(self, folder: Path) -> None:
        from transformers import CLIPTokenizer

        self._tokenizer: Any = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        self.max_length: int = self._tokenizer.model_max_length

    def ids(self, prompts: list[str]) -> torch.Tensor:
        """[B] → int64 [B, max_length], padded, or cut where the prompt is longer."""
        import torch

        rows = self._tokenizer(
            prompts, padding="max_length", max_length=self.max_length, truncation=True
        ).input_ids
        return torch.tensor(rows, dtype=torch.int64)

    def count(self, prompt: str) -> int:
        return len(self._all_ids(prompt))

    def cut_off(self, prompt: str) -> str:
        """What `ids` leaves out of it, in the vocabulary's spelling; without the end marker."""
        text: str = self._tokenizer.decode(self._all_ids(prompt)[self.max_length - 1 : -1])
        return text.strip()

    def _all_ids(self, prompt: str) -> list[int]:
        # verbose=False: longer than max_length is an answer here, not something to warn about.
        ids: list[int] = self._tokenizer(prompt, verbose=False).input_ids
        return ids
