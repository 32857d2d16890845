"""Text to pictures, the same steps for every variant; what differs is behind Parts.

A picture is determined by its request, its seed and the part's arithmetic, by nothing else: the
noise is drawn picture by picture on the CPU, the latents stay float32 between the steps, and how
many go through the networks at once is the part's choice (`max_pictures_per_pass`), because a
kernel may round differently for another batch size. With 1, a picture of n is bit for bit the one
made alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sd_contract.invocation import STAGES, Answer, Invocation
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.errors import EngineError, OutOfMemory
from sd_serving.memory import give_memory_back, is_out_of_memory
from sd_serving.model_unusable import ModelUnusable
from sd_serving.png import encode_png

if TYPE_CHECKING:
    import torch

WARMUP_PROMPT = "a red circle"

_Item = TypeVar("_Item")


class Parts(Protocol):
    """A loaded model as a variant's `load` returns it. Tensors are batch-first, on `device`;
    float inputs come as float32 and each method casts to what its network wants."""

    @property
    def latent_channels(self) -> int: ...
    @property
    def vae_scale(self) -> int:
        """Pixels per latent, along each side."""

    @property
    def scaling_factor(self) -> float:
        """The engine divides latents by it before `decode`."""

    @property
    def tokenizer_max_length(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dtype_name(self) -> str:
        """For people: what the networks compute in."""

    @property
    def sizes(self) -> tuple[Size, ...] | None:
        """That the model was compiled for; None: any."""

    @property
    def max_pictures_per_pass(self) -> int | None:
        """Pictures (not guidance rows) and prompts that may share a call; None: no limit.
        1 makes each picture independent, to the bit, of what it was asked together with."""

    def count_tokens(self, prompt: str) -> int:
        """Tokens of the whole prompt with its two markers; more than tokenizer_max_length means
        that the end of the prompt has no effect."""

    def encode(self, prompts: list[str]) -> torch.Tensor:
        """[B] → [B, tokenizer_max_length, D]"""

    def denoise(self, latents: torch.Tensor, t: int, embeds: torch.Tensor) -> torch.Tensor:
        """[B, C, h, w], [B, tokens, D] → predicted noise [B, C, h, w]. B counts guidance rows;
        with guidance they are [all unconditional, all conditional]."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """[B, C, h, w], already divided by scaling_factor → [B, 3, H, W] in [-1, 1]"""

    def make_scheduler(self) -> Any:
        """A fresh diffusers scheduler."""

    def describe(self) -> Mapping[str, Any]:
        """More for the answer's `engine` object, JSON values."""


BatchKey = tuple[Size, int, float]


def batch_key(request: Invocation) -> BatchKey:
    """What requests must share to be denoised in one batch."""
    return request.size, request.num_inference_steps, request.guidance_scale


@dataclass(frozen=True)
class _Picture:
    seed: int
    prompt: str
    negative_prompt: str


class Engine:
    def __init__(self, parts: Parts, config: ServingConfig) -> None:
        """Raises ModelUnusable where the settings serve a size the model wasn't compiled for."""
        missing = [s for s in config.sizes if parts.sizes is not None and s not in parts.sizes]
        if missing:
            raise ModelUnusable(
                f"SD_SIZES serves {', '.join(map(str, missing))}, but the model is compiled for "
                f"{', '.join(map(str, parts.sizes or ()))}"
            )
        self.parts = parts
        self.config = config
        self._about = {
            "variant": config.variant,
            "device": str(parts.device),
            "dtype": parts.dtype_name,
            "scheduler": type(parts.make_scheduler()).__name__,
            "artifact_key": config.artifact_key,
            "max_prompt_tokens": parts.tokenizer_max_length,
            **{name: _version(name) for name in ("diffusers", "transformers", "torch")},
            **parts.describe(),
        }

    def warm_up(self) -> None:
        """So that no caller pays for lazy initialization."""
        for request in self.warmup_requests():
            self.generate([request])

    def warmup_requests(self) -> list[Invocation]:
        """One picture a served size."""
        return [
            Invocation(
                prompt=WARMUP_PROMPT,
                negative_prompt="",
                num_images=1,
                size=size,
                num_inference_steps=self.config.warmup_steps,
                guidance_scale=self.config.default_guidance_scale,
                seed=0,
            )
            for size in self.config.sizes
        ]

    def before_step(self) -> None:
        """Called before each denoising step; what it raises ends the batch."""

    def generate(self, requests: Sequence[Invocation]) -> list[Answer]:
        """One answer a request, in order. All must share one `batch_key` (ValueError).

        Raises EngineError, or OutOfMemory with the memory already given back.
        """
        if len(set(map(batch_key, requests))) != 1:
            raise ValueError("a batch is of one or more requests of one size, steps and guidance")
        clock = _Clock(self.parts.device)
        try:
            return self._generate(requests, clock)
        except Exception as error:
            if not is_out_of_memory(error):
                raise EngineError(f"{clock.stage} failed: {error}") from error
        # Out here the error, and with it the frames that hold the tensors, is gone.
        give_memory_back()
        raise OutOfMemory(f"out of memory in {clock.stage} on {self.parts.device}")

    def _generate(self, requests: Sequence[Invocation], clock: _Clock) -> list[Answer]:
        import torch

        pictures = [
            _Picture(seed, request.prompt, request.negative_prompt)
            for request in requests
            for seed in request.seeds
        ]
        with torch.inference_mode():
            with clock.measure("text_encoder"):
                embeds = self._encode(pictures, guided=_is_guided(requests[0]))
            pixels: list[torch.Tensor] = []
            for some in _split(pictures, self.parts.max_pictures_per_pass):
                with clock.measure("denoise"):
                    latents = self._denoise(some, embeds, requests[0])
                with clock.measure("vae_decode"):
                    pixels.extend(self._decode(latents))
        waiting = iter(pixels)
        answers = []
        for request in requests:
            started = time.perf_counter()
            pngs = tuple(encode_png(next(waiting)) for _ in request.seeds)
            engine = {
                **self._about,
                "steps": request.num_inference_steps,
                "guidance_scale": request.guidance_scale,
                "images_in_batch": len(pictures),
                "prompt_tokens": self.parts.count_tokens(request.prompt),
            }
            timings = {**clock.spent_ms, "encode": ms_since(started)}
            answers.append(Answer(pngs, request.seeds, timings, engine))
        return answers

    def _encode(self, pictures: Sequence[_Picture], *, guided: bool) -> dict[str, torch.Tensor]:
        """Each different text once → [tokens, D] float32."""
        texts = dict.fromkeys(picture.prompt for picture in pictures)
        if guided:
            texts.update(dict.fromkeys(picture.negative_prompt for picture in pictures))
        embeds: dict[str, torch.Tensor] = {}
        for some in _split(list(texts), self.parts.max_pictures_per_pass):
            embeds.update(zip(some, self.parts.encode(list(some)).float(), strict=True))
        return embeds

    def _denoise(
        self, pictures: Sequence[_Picture], embeds: dict[str, torch.Tensor], request: Invocation
    ) -> torch.Tensor:
        import torch

        guided = _is_guided(request)
        rows = [picture.negative_prompt for picture in pictures] if guided else []
        rows += [picture.prompt for picture in pictures]
        conditioning = torch.stack([embeds[text] for text in rows])
        scheduler = self.parts.make_scheduler()
        # No device: the timesteps stay on the CPU, where reading them stalls no GPU queue.
        scheduler.set_timesteps(request.num_inference_steps)
        latents = torch.cat([self._noise(picture.seed, request.size) for picture in pictures])
        latents = latents.to(self.parts.device) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            self.before_step()
            scaled = scheduler.scale_model_input(latents, t)
            if guided:
                both = self.parts.denoise(torch.cat([scaled, scaled]), int(t), conditioning)
                without, toward = both.float().chunk(2)
                noise = without + request.guidance_scale * (toward - without)
            else:
                noise = self.parts.denoise(scaled, int(t), conditioning).float()
            latents = scheduler.step(noise, t, latents, return_dict=False)[0]
        denoised: torch.Tensor = latents
        return denoised

    def _noise(self, seed: int, size: Size) -> torch.Tensor:
        """Always drawn on the CPU in float32: the same picture on every device and dtype."""
        import torch

        scale = self.parts.vae_scale
        shape = (1, self.parts.latent_channels, size.height // scale, size.width // scale)
        generator = torch.Generator("cpu").manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=torch.float32)

    def _decode(self, latents: torch.Tensor) -> list[torch.Tensor]:
        """[B, C, h, w] → B of uint8 [H, W, 3] on the CPU."""
        import torch

        values = self.parts.decode(latents / self.parts.scaling_factor).float()
        if not bool(torch.isfinite(values).all()):
            # Pillow would make a black picture of it, and nobody would know why.
            raise EngineError(f"the picture is not finite in {self.parts.dtype_name}")
        pixels = ((values / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return list(pixels.permute(0, 2, 3, 1).cpu())


class _Clock:
    """Adds up wall time by stage, and remembers the stage for error messages."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.stage = STAGES[0]
        self.spent_ms: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        import torch

        self.stage = stage
        started = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # kernels are only queued until here
        self.spent_ms[stage] = round(self.spent_ms[stage] + ms_since(started), 3)


def _is_guided(request: Invocation) -> bool:
    """At 1 the unconditional half cancels out: half the work for the same noise."""
    return request.guidance_scale > 1


def _split(items: Sequence[_Item], most: int | None) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), most or len(items)):
        yield items[start : start + (most or len(items))]


def ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
