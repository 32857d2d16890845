"""One run: warm up, then every phase on every variant, skipping what the file already holds."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from benchmark import analysis
from benchmark.client import Answer, ApiClient, PictureRequest
from benchmark.errors import BenchmarkError, RequestFailed
from benchmark.load import Job, Phase, arrival_times, closed_loop, open_loop, warm_up_phase
from benchmark.prompts import PromptSet
from benchmark.records import (
    Key,
    Outcome,
    RequestRecord,
    ResultsFile,
    RunInfo,
    ServedVariant,
)


class Progress(Protocol):
    """The part of tqdm that is used."""

    def update(self, n: int) -> object: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Plan:
    """`phases` in order; the first one gets every prompt `repetitions` times, the load phases
    after it the first `load_requests` prompts once."""

    variants: Sequence[ServedVariant]
    phases: Sequence[Phase]
    prompt_set: PromptSet
    warm_up: int
    repetitions: int
    load_requests: int
    arrival_seed: int = 20_260

    def jobs(self, phase: Phase) -> list[Job]:
        prompts = self.prompt_set.prompts
        if phase is self.phases[0]:
            return [Job(p.index, r) for r in range(self.repetitions) for p in prompts]
        return [Job(p.index, 0) for p in prompts[: self.load_requests]]


class Session:
    def __init__(
        self,
        api: ApiClient,
        results: ResultsFile,
        info: RunInfo,
        plan: Plan,
        pictures: Path | None,
        progress: Callable[[str, int], Progress],
        say: Callable[[str], None],
    ) -> None:
        self._api = api
        self._results = results
        self._info = info
        self._plan = plan
        self._pictures = pictures
        self._progress = progress
        self._say = say
        self._id = f"{time.time_ns():x}"
        self._started = 0.0
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Returns early, with all answers in flight recorded, once `stop` is set.

        Raises ResultsMismatch if a variant isn't the one the file's figures are of, and
        BenchmarkError if one answers no warm-up request.
        """
        for record in self._results.requests:
            for variant in self._plan.variants:
                if variant.name == record.model:
                    record.variant.check_same(variant)
        self._started = asyncio.get_running_loop().time()
        warm: set[str] = set()
        saturated: set[str] = set()
        for phase in self._plan.phases:
            for variant in self._plan.variants:
                jobs = self._left(variant, phase)
                if self.stop.is_set():
                    return
                if phase.rate is not None and variant.name in saturated:
                    self._say(f"{variant.name} {phase.name}: skipped, saturated at a lower rate")
                    continue
                if jobs and variant.name not in warm:
                    await self._warm_up(variant)
                    warm.add(variant.name)
                if jobs:
                    await self._run_phase(variant, phase, jobs)
                summary = analysis.summarise_phase(self._of(variant, phase))
                if summary:
                    self._say(summary.line())
                    if phase.rate is not None and summary.saturated:
                        saturated.add(variant.name)

    def _left(self, variant: ServedVariant, phase: Phase) -> list[Job]:
        return [
            job
            for job in self._plan.jobs(phase)
            if Key(variant.name, job.prompt, phase.name, job.repetition) not in self._results.done
        ]

    def _of(self, variant: ServedVariant, phase: Phase) -> list[RequestRecord]:
        return [
            record
            for record in self._results.requests
            if record.model == variant.name and record.phase == phase.name
        ]

    async def _warm_up(self, variant: ServedVariant) -> None:
        """Each session warms up anew: the endpoint may have restarted since the last one."""
        phase = warm_up_phase()
        first = len(self._of(variant, phase))
        jobs = [Job(0, first + i) for i in range(self._plan.warm_up)]
        await self._run_phase(variant, phase, jobs)
        answers = self._of(variant, phase)[first:]
        if answers and all(answer.outcome != "ok" for answer in answers):
            raise BenchmarkError(
                f"{variant.name} answers no warm-up request: {answers[-1].failure}, "
                f"{answers[-1].message}"
            )

    async def _run_phase(self, variant: ServedVariant, phase: Phase, jobs: Sequence[Job]) -> None:
        bar = self._progress(f"{variant.name} {phase.name}", len(jobs))

        async def send(job: Job, due: float) -> None:
            self._results.add(await self._send(variant, phase, job, due))
            bar.update(1)

        try:
            if phase.rate is not None:
                # A resumed phase draws its arrivals afresh: what is left is a Poisson stream too.
                arrivals = arrival_times(len(jobs), phase.rate, self._plan.arrival_seed)
                await open_loop(jobs, arrivals, send, self.stop)
            else:
                await closed_loop(jobs, phase.concurrency or 1, send, self.stop)
        finally:
            bar.close()

    async def _send(
        self, variant: ServedVariant, phase: Phase, job: Job, due: float
    ) -> RequestRecord:
        clock = asyncio.get_running_loop().time
        prompt = self._plan.prompt_set.prompts[job.prompt]
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        answer: Answer | None = None
        failure: RequestFailed | None = None
        try:
            answer = await self._api.generate(
                PictureRequest(
                    variant.name,
                    prompt.text,
                    prompt.seed,
                    self._info.size,
                    self._info.steps,
                    self._info.guidance_scale,
                )
            )
        except RequestFailed as error:
            failure = error
        done = clock()
        outcome: Outcome = (
            "ok" if failure is None else "timeout" if failure.kind == "timeout" else "failed"
        )
        return RequestRecord(
            model=variant.name,
            prompt=job.prompt,
            phase=phase.name,
            repetition=job.repetition,
            session=self._id,
            sent_at=sent_at,
            due_s=round(due - self._started, 6),
            done_s=round(done - self._started, 6),
            latency_s=round(done - due, 6),
            outcome=outcome,
            steps=self._info.steps,
            size=self._info.size,
            guidance_scale=self._info.guidance_scale,
            seed=prompt.seed,
            variant=variant,
            concurrency=phase.concurrency,
            rate=phase.rate,
            http_status=answer.http_status if answer else failure.http_status if failure else None,
            failure=failure.kind if failure else None,
            message=str(failure) if failure else None,
            request_id=answer.request_id if answer else None,
            stages_ms=answer.stages_ms if answer else {},
            picture=await self._keep_picture(variant, phase, job, answer),
        )

    async def _keep_picture(
        self, variant: ServedVariant, phase: Phase, job: Job, answer: Answer | None
    ) -> str | None:
        """Pictures of the first phase only: the others would be the same ones again."""
        if answer is None or self._pictures is None or phase is not self._plan.phases[0]:
            return None
        picture = answer.picture
        if picture is None and answer.picture_url:
            try:
                picture = await self._api.fetch(answer.picture_url)
            except RequestFailed as error:
                self._say(f"{variant.name} prompt {job.prompt}: picture not kept, {error}")
        if picture is None:
            return None
        name = f"{variant.name}/{job.prompt:03d}-{job.repetition}.png"
        path = self._pictures / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        return name


def common_size(offered: Iterable[Sequence[str]]) -> str | None:
    """The first size that every variant serves."""
    first, *others = offered
    return next((size for size in first if all(size in sizes for sizes in others)), None)
