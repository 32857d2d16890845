"""Draws the cases in each setting, and holds the pictures against what was asked and against the
picture of REFERENCE's steps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmark.quality.deep_cache import DeepCache
from benchmark.quality.settings import REFERENCE
from benchmark.quality.trial import CountedUnet, Rows
from benchmark.quality.work import UnetWork, count_unet
from benchmark.report.quality import Scorer
from inf2.parity import psnr_db
from sd_contract.invocation import Invocation
from sd_contract.sampling import STANDARD, Sampling
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import DiffusersParts
from sd_serving.engine import Engine

Likeness = Callable[[bytes, bytes], float]
"""Of two PNGs."""


@dataclass(frozen=True)
class Case:
    prompt: str
    seed: int


@dataclass(frozen=True)
class Subject:
    """What is measured: a model, how its pictures are drawn, and what they are held against.
    `score` is by picture and prompt; `distance` (LPIPS) is to REFERENCE's."""

    parts: DiffusersParts
    size: Size
    guidance_scale: float
    cases: Sequence[Case]
    batch: int
    score: Scorer | None = None
    distance: Likeness | None = None


@dataclass(frozen=True)
class Measured:
    """One setting. `rows` are a picture's; `db` and `distance` have one figure a picture; `scores`
    are means."""

    sampling: Sampling
    rows: Rows
    share: float
    """Of the UNet FLOPs in the study's setting, of the network that drew."""
    db: Sequence[float]
    scores: dict[str, float]
    distance: Sequence[float] = ()

    @property
    def db_median(self) -> float:
        return float(np.median(self.db))

    @property
    def db_p5(self) -> float:
        return float(np.percentile(self.db, 5))


def score_of(name: str, one: Measured) -> float:
    return one.scores[name]


class Drawing:
    """Draws one subject's cases. With guidance: a row alone would be taken for a pair."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._unet = DeepCache(subject.parts.unet)

    def draw(
        self, sampling: Sampling, done: Callable[[int], object] = int
    ) -> tuple[list[bytes], Rows]:
        """A PNG a case, and the rows of one picture. `done` is told of each batch's pictures."""
        subject = self._subject
        steps, guidance = sampling.steps, subject.guidance_scale
        unet = CountedUnet(self._unet, sampling)
        modes = {STANDARD: sampling}
        config = ServingConfig("quality", "", (subject.size,), modes, guidance, "auto")
        engine = Engine(replace(subject.parts, unet=unet), config)
        pictures: list[bytes] = []
        for start in range(0, len(subject.cases), subject.batch):
            answers = engine.generate(
                [
                    Invocation(case.prompt, "", 1, subject.size, steps, guidance, case.seed)
                    for case in subject.cases[start : start + subject.batch]
                ]
            )
            pictures += [answer.images[0] for answer in answers]
            done(len(answers))
        rows = unet.rows
        return pictures, Rows(rows.whole // len(pictures), rows.outermost // len(pictures))

    def work(self) -> UnetWork:
        """Of the network that draws, at the size that is drawn."""
        import torch

        parts, size = self._subject.parts, self._subject.size
        scale = parts.vae_scale
        latents = torch.zeros(1, parts.latent_channels, size.height // scale, size.width // scale)
        embeds = parts.encode([""])
        return count_unet(self._unet, latents.to(parts.device, parts.dtype), embeds)


def measure(
    subject: Subject, settings: Sequence[Sampling], done: Callable[[int], object] = int
) -> Iterator[Measured]:
    """One setting after another, as each is done."""
    drawing = Drawing(subject)
    work = drawing.work()
    reference, _ = drawing.draw(REFERENCE, done)
    for sampling in settings:
        pictures, rows = drawing.draw(sampling, done)
        pairs = list(zip(pictures, reference, strict=True))
        yield Measured(
            sampling,
            rows,
            work.share(rows),
            [psnr_db(*pair) for pair in pairs],
            _mean_scores(subject, pictures),
            [subject.distance(*pair) for pair in pairs] if subject.distance else (),
        )


def _mean_scores(subject: Subject, pictures: Sequence[bytes]) -> dict[str, float]:
    if not subject.score:
        return {}
    scores = [
        subject.score(case.prompt, picture)
        for case, picture in zip(subject.cases, pictures, strict=True)
    ]
    return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}
