"""One run: warm up, then every phase on every variant, skipping what the file already holds."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from tqdm import tqdm

from api_client import GeneratedPicture, GenerationAnswer
from benchmark.errors import BenchmarkError, RequestFailed
from benchmark.options import RunOptions
from benchmark.prompts import Prompt
from benchmark.run.client import Caller
from benchmark.run.load import WARMING_UP, LoadPhase, arrival_times, closed_loop, open_loop
from benchmark.run.phase_summary import summarise_phase
from benchmark.run.records import Key, RequestRecord, ResultsFile, RunInfo, check_same_variant
from sd_contract.registration import Registration
from sd_contract.sampling import STANDARD

ARRIVAL_SEED = 20_260


@dataclass(frozen=True)
class Measured:
    """A variant in one of its modes."""

    variant: Registration
    quality: str = STANDARD

    @property
    def name(self) -> str:
        name = self.variant.name
        return name if self.quality == STANDARD else f"{name} {self.quality}"


@dataclass(frozen=True)
class PlannedRequest:
    measured: Measured
    phase: LoadPhase
    prompt: Prompt
    repetition: int

    @property
    def key(self) -> Key:
        return Key(self.measured.name, self.prompt.index, self.phase.name, self.repetition)


@dataclass
class Session:
    """One run into `results`, until it is done or `stop` is set.

    The first phase gets every prompt `repetitions` times, those after it the first `load_requests`
    prompts once.
    """

    caller: Caller
    results: ResultsFile
    info: RunInfo
    options: RunOptions
    variants: Sequence[Measured]
    prompts: Sequence[Prompt]
    say: Callable[[str], None]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _id: str = field(default_factory=lambda: f"{time.time_ns():x}")
    _started: float = 0.0

    @cached_property
    def phases(self) -> list[LoadPhase]:
        closed, rates = self.options.concurrency, sorted(self.options.rates)
        return [
            *(LoadPhase(f"closed-{callers}", concurrency=callers) for callers in closed),
            *(LoadPhase(f"open-{rate:g}", rate=rate) for rate in rates),
        ]

    async def run(self) -> None:
        """Returns early, with all answers in flight recorded, once `stop` is set.

        Raises BenchmarkError if a variant isn't the one the file's figures are of, or answers no
        warm-up request.
        """
        for record in self.results.requests:
            for variant in self.variants:
                if variant.name == record.model:
                    check_same_variant(record.variant, variant.variant)
        self._started = asyncio.get_running_loop().time()
        warm: set[str] = set()
        saturated: set[str] = set()
        for phase in self.phases:
            for variant in self.variants:
                planned = self._planned(variant, phase)
                left = [each for each in planned if each.key not in self.results.done]
                if self.stop.is_set():
                    return
                if phase.rate is not None and variant.name in saturated:
                    self.say(f"{variant.name} {phase.name}: skipped, saturated at a lower rate")
                    continue
                if left and variant.name not in warm:
                    await self._warm_up(variant)
                    warm.add(variant.name)
                if left:
                    await self._run_phase(variant, phase, left)
                if sent := self._of(variant, phase):
                    summary = summarise_phase(sent)
                    self.say(summary.line())
                    if phase.rate is not None and summary.saturated:
                        saturated.add(variant.name)

    def _planned(self, variant: Measured, phase: LoadPhase) -> list[PlannedRequest]:
        prompts, repetitions = self.prompts, self.options.repetitions
        if phase is not self.phases[0]:
            prompts, repetitions = prompts[: self.options.load_requests], 1
        return [PlannedRequest(variant, phase, p, r) for r in range(repetitions) for p in prompts]

    def _of(self, variant: Measured, phase: LoadPhase) -> list[RequestRecord]:
        return [
            record
            for record in self.results.requests
            if record.model == variant.name and record.phase == phase.name
        ]

    async def _warm_up(self, variant: Measured) -> None:
        """Each session warms up anew: the endpoint may have restarted since the last one."""
        first = len(self._of(variant, WARMING_UP))
        prompt = self.prompts[0]
        repetitions = range(first, first + self.options.warm_up)
        planned = [PlannedRequest(variant, WARMING_UP, prompt, r) for r in repetitions]
        await self._run_phase(variant, WARMING_UP, planned)
        answers = self._of(variant, WARMING_UP)[first:]
        if answers and all(answer.outcome != "ok" for answer in answers):
            raise BenchmarkError(
                f"{variant.name} answers no warm-up request: {answers[-1].failure}, "
                f"{answers[-1].message}"
            )

    async def _run_phase(
        self, variant: Measured, phase: LoadPhase, planned: Sequence[PlannedRequest]
    ) -> None:
        title = f"{variant.name} {phase.name}"

        async def send(request: PlannedRequest, due: float) -> None:
            self.results.add(await self._send(request, due))
            bar.update()

        with tqdm(planned, title, unit="picture", mininterval=1, dynamic_ncols=True) as bar:
            if phase.rate is not None:
                # A resumed phase draws its arrivals afresh: what is left is a Poisson stream too.
                arrivals = arrival_times(len(planned), phase.rate, ARRIVAL_SEED)
                await open_loop(planned, arrivals, send, self.stop)
            else:
                await closed_loop(planned, phase.concurrency or 1, send, self.stop)

    async def _send(self, request: PlannedRequest, due: float) -> RequestRecord:
        measured, phase, prompt = request.measured, request.phase, request.prompt
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        answer: GenerationAnswer | None = None
        failure: RequestFailed | None = None
        try:
            answer = await self.caller.generate(
                measured.variant.name, measured.quality, prompt, self.info
            )
        except RequestFailed as error:
            failure = error
        done = asyncio.get_running_loop().time()
        return RequestRecord(
            model=measured.name,
            prompt=prompt.index,
            phase=phase.name,
            repetition=request.repetition,
            session=self._id,
            sent_at=sent_at,
            due_s=round(due - self._started, 6),
            done_s=round(done - self._started, 6),
            latency_s=round(done - due, 6),
            seed=prompt.seed,
            variant=measured.variant,
            quality=measured.quality,
            concurrency=phase.concurrency,
            rate=phase.rate,
            http_status=failure.http_status if failure else 200,
            failure=failure.kind if failure else None,
            message=str(failure) if failure else None,
            request_id=answer.request_id if answer else None,
            stages_ms=dict(answer.timings_ms) if answer else {},
            picture=await self._keep(answer.pictures[0], request) if answer else None,
        )

    async def _keep(self, picture: GeneratedPicture, request: PlannedRequest) -> str | None:
        """Pictures of the first phase only: the others would be the same ones again."""
        if self.options.no_pictures or request.phase is not self.phases[0]:
            return None
        name, index = request.measured.name, request.prompt.index
        try:
            png = picture.png or await self.caller.fetch(str(picture.url))
        except RequestFailed as error:
            self.say(f"{name} prompt {index}: picture not kept, {error}")
            return None
        folder = self.options.results.parent / "pictures" / name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{index:03d}-{request.repetition}.png"
        path.write_bytes(png)
        return f"{name}/{path.name}"
