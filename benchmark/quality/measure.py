"""Draws the cases in each setting, and holds the pictures against what was asked and against the
picture of REFERENCE's steps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.prompts import Prompt
from benchmark.quality.drawn import Drawn
from benchmark.quality.settings import REFERENCE
from benchmark.quality.work import Rows, UnetWork, count_unet
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
class Subject:
    """What is measured: a model, how its pictures are drawn, and what they are held against.
    `score` is by picture and prompt; `distance` (LPIPS) is to REFERENCE's."""

    folder: Path
    parts: DiffusersParts
    size: Size
    guidance_scale: float
    cases: Sequence[Prompt]
    batch: int
    score: Scorer | None = None
    distance: Likeness | None = None


@dataclass(frozen=True)
class Measured:
    """One setting. `db` and `distance` have one figure a picture; `scores`
    are means."""

    sampling: Sampling
    share: float
    """Of the UNet FLOPs in the study's setting, of the network that drew."""
    db: Sequence[float]
    scores: dict[str, float]
    distance: Sequence[float] = ()

    @property
    def rows(self) -> Rows:
        """Of a picture."""
        return Rows.of(self.sampling)

    @property
    def db_median(self) -> float:
        return float(np.median(self.db))

    @property
    def db_p5(self) -> float:
        return float(np.percentile(self.db, 5))


def score_of(name: str, one: Measured) -> float:
    return one.scores[name]


class Drawing:
    """Draws one subject's cases as a container does."""

    def __init__(self, subject: Subject, drawn: Drawn | None = None) -> None:
        self._subject, self._drawn = subject, drawn

    def draw(self, sampling: Sampling, done: Callable[[int], object] = int) -> list[bytes]:
        """A PNG a case. `done` is told of each batch's pictures."""
        subject = self._subject
        steps, guidance = sampling.steps, subject.guidance_scale
        modes = {STANDARD: sampling}
        config = ServingConfig("quality", "", (subject.size,), modes, guidance, "auto")
        engine = Engine(subject.parts, config)
        pictures: list[bytes] = []
        for start in range(0, len(subject.cases), subject.batch):
            numbers = range(start, min(start + subject.batch, len(subject.cases)))
            batch = self._drawn.read(sampling, numbers) if self._drawn else None
            if batch is None:
                answers = engine.generate(
                    [
                        Invocation(case.text, "", 1, subject.size, steps, guidance, case.seed)
                        for case in map(subject.cases.__getitem__, numbers)
                    ]
                )
                batch = [answer.images[0] for answer in answers]
                if self._drawn:
                    self._drawn.write(sampling, numbers, batch)
            pictures += batch
            done(len(batch))
        return pictures

    def work(self) -> UnetWork:
        """Of the network that draws, at the size that is drawn."""
        parts, size = self._subject.parts, self._subject.size
        width, height = size.width // parts.vae_scale, size.height // parts.vae_scale
        return count_unet(parts.unet.config, width, height, parts.tokenizer_max_length)


def measure(
    subject: Subject,
    settings: Sequence[Sampling],
    done: Callable[[int], object] = int,
    drawn: Drawn | None = None,
) -> Iterator[Measured]:
    """One setting after another, as each is done."""
    drawing = Drawing(subject, drawn)
    work = drawing.work()
    reference = drawing.draw(REFERENCE, done)
    for sampling in settings:
        pictures = drawing.draw(sampling, done)
        pairs = list(zip(pictures, reference, strict=True))
        yield Measured(
            sampling,
            work.share(Rows.of(sampling)),
            [psnr_db(*pair) for pair in pairs],
            _mean_scores(subject, pictures),
            [subject.distance(*pair) for pair in pairs] if subject.distance else (),
        )


def _mean_scores(subject: Subject, pictures: Sequence[bytes]) -> dict[str, float]:
    if not subject.score:
        return {}
    scores = [
        subject.score(case.text, picture)
        for case, picture in zip(subject.cases, pictures, strict=True)
    ]
    return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}
