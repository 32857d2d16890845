"""Text to pictures, and pictures to pictures, the same steps for every variant; what differs is
behind Parts.

A picture is determined by its request, its seed and the part's arithmetic, by nothing else: the
noise is drawn picture by picture on the CPU, the latents stay float32 between the steps, and how
many go through the networks at once is the part's choice (`max_pictures_per_pass`), because a
kernel may round differently for another batch size. With 1, a picture of n is bit for bit the one
made alone.

Edits at strength 1 begin with noise alone, so they are the generation from the same seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeVar

from sd_contract.invocation import Answer, Invocation
from sd_contract.sampling import Sampling, Step
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.deep_cache import DeepHalf
from sd_serving.edits import (
    Start,
    Starts,
    Task,
    blank_edit,
    pixel_tensor,
    prepare,
    redrawn_latents,
    with_kept_pixels,
)
from sd_serving.errors import EngineError, NotFinite, OutOfMemory
from sd_serving.memory import give_memory_back, is_out_of_memory
from sd_serving.metadata import parameters
from sd_serving.model_unusable import ModelUnusable
from sd_serving.no_effect import is_guided, warnings_of
from sd_serving.parts import Parts
from sd_serving.picture_file import encode
from sd_serving.sampler import ALGORITHM
from sd_serving.stage_clock import StageClock

if TYPE_CHECKING:
    import torch

WARMUP_PROMPT = "a red circle"
WARMUP_STEPS = 2
KEPT_PROMPTS = 64
"""Whose embeddings stay on the device, the latest used: 0.3 MB each at SD 2.1's size."""

_Item = TypeVar("_Item")


BatchKey = tuple[Size, int, float, float | None, str]


def batch_key(request: Invocation) -> BatchKey:
    """What requests must share to be denoised in one batch."""
    return (
        request.size,
        request.num_inference_steps,
        request.guidance_scale,
        request.strength,
        request.quality,
    )


@dataclass(frozen=True)
class _Picture:
    task: Task
    seed: int
    start: Start | None


class Engine:
    def __init__(self, parts: Parts, config: ServingConfig) -> None:
        """Raises ModelUnusable for a mode that the parts can't draw in."""
        deep = [name for name, mode in config.modes.items() if mode.deep_cache > 1]
        if deep and not parts.keeps_deep_half:
            raise ModelUnusable(
                f"SD_MODES: deep_cache of {', '.join(deep)} must be 1 for networks run in this way"
            )
        self.parts = parts
        self.config = config
        # One text a call, so that what is kept depends on no other and an answer on none before it.
        # Of the parts alone: an engine that nobody holds is to go at once.
        self._embeds = lru_cache(KEPT_PROMPTS)(lambda text: parts.encode([text]).float()[0])
        self._writers = ThreadPoolExecutor(os.cpu_count(), "write")
        self._about = {
            "variant": config.variant,
            "device": str(parts.device),
            "dtype": parts.dtype_name,
            "scheduler": ALGORITHM,
            "artifact_key": config.artifact_key,
            "max_prompt_tokens": parts.tokenizer_max_length,
            **{name: _version(name) for name in ("diffusers", "transformers", "torch")},
            **parts.describe(),
        }

    def warm_up(self) -> None:
        """So that no caller pays for lazy initialization. Runs every network."""
        self._embeds.cache_clear()
        for request in self.warmup_requests():
            for each in self._in_every_kind_of_step(request):
                self.generate([each])
        for size in self.config.sizes:
            self.draw([blank_edit(size)])

    def warmup_requests(self) -> list[Invocation]:
        """A served size's largest pass through the networks, which takes the most memory, and one
        picture: another shape, other kernels."""
        most = self.parts.max_pictures_per_pass or 1
        return [
            Invocation(
                prompt=WARMUP_PROMPT,
                negative_prompt="",
                num_images=images,
                size=size,
                num_inference_steps=WARMUP_STEPS,
                guidance_scale=self.config.default_guidance_scale,
                seed=0,
            )
            for size in self.config.sizes
            for images in sorted({most, 1}, reverse=True)
        ]

    def _in_every_kind_of_step(self, request: Invocation) -> Iterator[Invocation]:
        """In few modes and steps, one at least of each kind that a mode has: without guidance, or
        with another's deep half, other shapes and kernels are run."""
        seen: set[Step] = set()
        for name, mode in sorted(self.config.modes.items(), key=lambda each: -len(_kinds(each[1]))):
            if missing := _kinds(mode) - seen:
                seen |= missing
                steps = request.num_inference_steps
                while not _kinds(replace(mode, steps=steps)) >= missing:
                    steps += 1
                yield replace(request, quality=name, num_inference_steps=steps)

    def before_step(self) -> None:
        """Called before each denoising step; what it raises ends the batch."""

    def generate(self, requests: Sequence[Invocation]) -> list[Answer]:
        """As `draw`. Raises Refused besides."""
        return self.draw([prepare(request) for request in requests])

    def draw(self, tasks: Sequence[Task]) -> list[Answer]:
        """One answer a task, in order. All must share one `batch_key` (ValueError).

        Raises EngineError, or OutOfMemory with the memory already given back.
        """
        if len({batch_key(task.request) for task in tasks}) != 1:
            raise ValueError(
                "a batch is of one or more requests of one size, steps, guidance, strength and "
                "quality"
            )
        clock = StageClock(self.parts.device)
        try:
            return self._draw(tasks, clock)
        except NotFinite:
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise EngineError(f"{clock.stage} failed: {error}") from error
        # Out here the error, and with it the frames that hold the tensors, is gone.
        give_memory_back()
        raise OutOfMemory(f"out of memory in {clock.stage} on {self.parts.device}")

    def _draw(self, tasks: Sequence[Task], clock: StageClock) -> list[Answer]:
        import torch

        requests = [task.request for task in tasks]
        files: list[Future[bytes]] = []
        with torch.inference_mode():
            with clock.measure("text_encoder"):
                embeds = self._encode(requests)
            starts: list[Start | None] = [None] * len(tasks)
            if requests[0].edit:
                with clock.measure("vae_encode"):
                    starts[:] = self._starts(tasks)
            pictures = [
                _Picture(task, seed, start)
                for task, start in zip(tasks, starts, strict=True)
                for seed in task.request.seeds
            ]
            for some in _split(pictures, self.parts.max_pictures_per_pass):
                with clock.measure("denoise"):
                    latents = self._denoise(some, embeds, requests[0])
                with clock.measure("vae_decode"):
                    pixels = self._decode(latents)
                # While the next are drawn: an encoder leaves the interpreter to others.
                for picture, drawn in zip(some, pixels, strict=True):
                    files.append(self._writers.submit(self._file, picture, drawn))
        with clock.measure("encode"):
            written = iter([file.result() for file in files])
        return [
            self._answer(task, tuple(next(written) for _ in task.request.seeds), len(files), clock)
            for task in tasks
        ]

    def _file(self, picture: _Picture, pixels: torch.Tensor) -> bytes:
        task = picture.task
        kept = with_kept_pixels(pixels, task.source)
        return encode(kept, task.request, self._parameters(task.request, picture.seed))

    def _answer(
        self, task: Task, images: tuple[bytes, ...], together: int, clock: StageClock
    ) -> Answer:
        request = task.request
        engine = {
            **self._about,
            "quality": request.quality,
            "sigmas": self._sampling(request).sigmas,
            "steps": request.num_inference_steps,
            "guidance_scale": request.guidance_scale,
            "images_in_batch": together,
            "prompt_tokens": self.parts.count_tokens(request.prompt),
            "negative_prompt_tokens": self.parts.count_tokens(request.negative_prompt),
        }
        return Answer(
            images,
            request.seeds,
            dict(clock.spent_ms),
            engine,
            request.output_format,
            tuple(warnings_of(task, self.parts)),
        )

    def _parameters(self, request: Invocation, seed: int) -> str:
        model, diffusers = (str(self._about.get(name, "")) for name in ("model_id", "diffusers"))
        sigmas = self._sampling(request).sigmas
        return parameters(request, seed, model, f"diffusers {diffusers}", sigmas)

    def _sampling(self, request: Invocation) -> Sampling:
        """Raises EngineError for a mode that isn't served; the request's reading has seen to it."""
        if request.quality not in self.config.modes:
            raise EngineError(f"quality {request.quality!r} is not served")
        return replace(self.config.modes[request.quality], steps=request.num_inference_steps)

    def _encode(self, requests: Sequence[Invocation]) -> dict[str, torch.Tensor]:
        """Each different text once → [tokens, D] float32."""
        texts = dict.fromkeys(request.prompt for request in requests)
        if is_guided(requests[0]):
            texts.update(dict.fromkeys(request.negative_prompt for request in requests))
        return {text: self._embeds(text) for text in texts}

    def _starts(self, tasks: Sequence[Task]) -> list[Start]:
        import torch

        sources = [task.source for task in tasks if task.source]
        latents: list[torch.Tensor] = []
        for some in _split(sources, self.parts.max_pictures_per_pass):
            pixels = torch.stack([pixel_tensor(source.pixels) for source in some])
            encoded = self.parts.encode_pictures(pixels.to(self.parts.device)).float()
            latents.extend(encoded * self.parts.scaling_factor)
        return [
            Start(each, redrawn_latents(source, self.parts.vae_scale).to(self.parts.device))
            for each, source in zip(latents, sources, strict=True)
        ]

    def _denoise(
        self, pictures: Sequence[_Picture], embeds: dict[str, torch.Tensor], request: Invocation
    ) -> torch.Tensor:
        import torch

        guided = is_guided(request)
        conditioning = torch.stack([embeds[picture.task.request.prompt] for picture in pictures])
        both_halves = conditioning
        if guided:
            without = torch.stack(
                [embeds[picture.task.request.negative_prompt] for picture in pictures]
            )
            both_halves = torch.cat([without, conditioning])
        sampling = self._sampling(request)
        sampler = self.parts.make_sampler(sampling)
        first = request.num_inference_steps - request.steps_run
        noise = torch.cat([self._noise(picture.seed, request.size) for picture in pictures])
        noise = noise.to(self.parts.device)
        given = [picture.start for picture in pictures if picture.start]
        starts = Starts(given, noise, sampler) if given else None
        latents = starts.at(first) if starts and first else noise
        deep = DeepHalf() if sampling.deep_cache > 1 else None
        for number, step in enumerate(sampling.plan(guided=guided, first=first), start=first):
            self.before_step()
            t = sampler.timesteps[number]
            if deep:
                deep.full = step.full
            if step.guided:
                both = self.parts.denoise(torch.cat([latents, latents]), t, both_halves, deep)
                without, toward = both.float().chunk(2)
                predicted = without + request.guidance_scale * (toward - without)
            else:
                predicted = self.parts.denoise(latents, t, conditioning, deep).float()
            latents = sampler.step(predicted, number, latents)
            if starts:
                latents = starts.kept(latents, number + 1)
        return latents

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
            raise NotFinite(f"the picture is not finite in {self.parts.dtype_name}")
        pixels = ((values / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return list(pixels.permute(0, 2, 3, 1).cpu())


def _kinds(mode: Sampling) -> frozenset[Step]:
    """Those of a picture with guidance."""
    return frozenset(mode.plan())


def _split(items: Sequence[_Item], most: int | None) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), most or len(items)):
        yield items[start : start + (most or len(items))]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
