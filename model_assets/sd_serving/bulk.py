"""A batch drawn by a SageMaker training job in the serving image: `python3 -m sd_serving.bulk`.

Each instance draws the parts of the work that it was given, as many pictures of one kind at once as
the variant's server would, and stores each picture and then its result at once, by the job's role.
Whatever has a result is skipped. So an interruption, which may come without a word, costs the
pictures at hand, and a job that is started again goes on where it was. SIGTERM ends it after these:
SageMaker sends it when a job is stopped or a spot instance taken back, and leaves 120 s (developer
guide, Stop Training Jobs).

Paths are below /opt/ml; SD_OPT_ML names another root. The reason of a failure goes into
output/failure, where SageMaker picks it up.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sd_contract.batch import BatchKeys, Unit, UnitResult
from sd_contract.batch_store import BatchStore, work_lines
from sd_contract.bulk_job import MAX_FAILURE_CHARS, MODEL, WORK, BulkJob
from sd_contract.invocation import Answer, Invocation, Refused
from sd_contract.signing import Passage, Signer
from sd_serving.config import ServingConfig
from sd_serving.engine import Engine, batch_key
from sd_serving.errors import EngineError, reason
from sd_serving.loader import resolve_loader
from sd_serving.logs import Log, print_event, print_line

STOPPED = 128 + signal.SIGTERM
"""Exit status, as a shell's: the work is not done."""
TRIES = 2
"""Of a picture, while the engine still works."""


def pending(parts: Sequence[Path], store: BatchStore) -> Iterator[Unit]:
    """What of the parts has no result, in order."""
    for part in parts:
        lines = work_lines(part.read_bytes())
        done = store.done(lines)
        for line in lines:
            for unit in line.units:
                if store.keys.result(unit) not in done:
                    yield unit


def draw_all(
    units: Iterator[Unit],
    store: BatchStore,
    load_engine: Callable[[], Engine],
    stop: threading.Event,
    log: Log,
    at_once: int = 1,
) -> bool:
    """Whether it came to the end; otherwise `stop` came first. The engine is loaded for the first
    unit, so never for none. Raises EngineError where it can't compute any more."""
    engine: Engine | None = None
    load = functools.lru_cache(maxsize=2)(store.load)  # a line's pictures have the same files
    for batch in _together(units, load, at_once):
        if stop.is_set():
            return False
        if engine is None:
            engine = load_engine()
            if stop.is_set():
                return False
        answers = _draw_together(engine, [asked for _, asked in batch], log)
        for (unit, _), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Answer):
                store.keep(unit, answer)
                log("drawn", unit=unit.name, timings_ms=answer.timings_ms)
            else:
                store.keep_result(UnitResult.refused(unit, answer))
                log("not_drawn", unit=unit.name, error=answer.kind, reason=str(answer))
    return True


def _together(
    units: Iterator[Unit], load: Callable[[str], bytes], at_once: int
) -> Iterator[list[tuple[Unit, Invocation]]]:
    """Units, and what they ask for, that come one after the other and are of one kind."""
    asked = ((unit, unit.asked(load)) for unit in units)
    for _, alike in itertools.groupby(asked, lambda pair: batch_key(pair[1])):
        while batch := list(itertools.islice(alike, at_once)):
            yield batch


Ended = Answer | Refused | EngineError


def _draw_together(engine: Engine, asked: Sequence[Invocation], log: Log) -> list[Ended]:
    if len(asked) > 1:
        try:
            return [*engine.generate(asked)]
        except Exception as error:  # noqa: BLE001 - one by one shows whose it is
            log("not_together", pictures=len(asked), reason=reason(error))
    return [_draw(engine, each) for each in asked]


def _draw(engine: Engine, asked: Invocation) -> Ended:
    for tries_left in reversed(range(TRIES)):
        try:
            return engine.generate([asked])[0]
        except Refused as error:
            return error
        except Exception as error:  # noqa: BLE001 - memory for a picture, say
            # Some failures (a CUDA assertion) leave a process that can never compute again.
            engine.warm_up()
            if not tries_left:
                return error if isinstance(error, EngineError) else EngineError(reason(error))
    raise AssertionError("the last try returns")


def main(
    env: Mapping[str, str],
    make_client: Callable[[str], Any] | None = None,
    log: Log = print_event,
) -> int:
    """Returns the exit status: 0 once all the work has its results. `make_client` gives botocore's
    of a service."""
    root = Path(env.get("SD_OPT_ML", "/opt/ml"))
    stop = threading.Event()
    # The handler alone, in the main thread: between two steps Python comes to it.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        job, config = BulkJob.from_env(env), ServingConfig.from_env(env)
        data = root / "input" / "data"
        config = replace(config, model_dir=data / MODEL)
        store = _store(job, make_client or _client)

        def load_engine() -> Engine:
            engine = Engine(resolve_loader(config.loader)(config.model_dir, config), config)
            engine.warm_up()
            log("ready", **engine.parts.describe())
            return engine

        units = pending(sorted((data / WORK).glob("*.jsonl")), store)
        finished = draw_all(units, store, load_engine, stop, log, config.batching.max_size)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the job's failure reason
        log("failed", traceback="".join(traceback.format_exception(error)))
        why = reason(error)
        print_line(f"FATAL: {why}")
        if (root / "output").is_dir():
            (root / "output" / "failure").write_text(why[:MAX_FAILURE_CHARS])
        return 1
    log("finished" if finished else "stopped")
    return 0 if finished else STOPPED


def _store(job: BulkJob, make_client: Callable[[str], Any]) -> BatchStore:
    s3, signer = make_client("s3"), None
    if job.signing_function:
        functions = make_client("lambda")
        passage = Passage(lambda: s3, job.picture_bucket)
        signer = Signer(lambda: functions, job.signing_function, passage)
    return BatchStore(s3, job.bucket, BatchKeys(job.batch_id), signer)


def _client(service: str) -> Any:
    # Not boto3, which DJL's image lacks, and which adds nothing here.
    from botocore.config import Config
    from botocore.session import get_session

    # A picture that can't be stored ends the job: better late than that.
    retries = {"mode": "standard", "total_max_attempts": 10}
    return get_session().create_client(service, config=Config(retries=retries))


if __name__ == "__main__":
    sys.exit(main(os.environ))
