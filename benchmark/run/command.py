"""`benchmark run`: from its options to a session, and CloudWatch after it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tqdm import tqdm

from api_client import Api
from benchmark.errors import BenchmarkError
from benchmark.options import RunOptions
from benchmark.prompts import PromptSet, load_prompts
from benchmark.run import cloudwatch
from benchmark.run.client import Caller
from benchmark.run.records import CloudWatchRecord, ResultsFile, RunInfo
from benchmark.run.session import Measured, Session
from sd_contract.registration import Registration
from stacks.catalogue.prices import read_prices


async def run(options: RunOptions) -> int:
    api, aws_endpoint_url = target(options.url, options.key, options.local)
    prompt_set = load_prompts(options.prompts)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(limits=limits, timeout=options.timeout) as http:
        caller = Caller(http, api, options)
        chosen = _choose(await caller.variants(read_prices()), options.models)
        measured = in_modes(chosen, options.quality)
        info = _info(options, api.url, prompt_set, chosen)
        path = options.results
        with ResultsFile(path, info) as results:
            prompts = prompt_set.prompts[: options.prompt_count]
            session = Session(caller, results, info, options, measured, prompts, tqdm.write)
            with _stopping_on_signals(session.stop):
                await session.run()
            if session.stop.is_set():
                print(f"stopped; the same command goes on from {path}", file=sys.stderr)
                return 130
            results.add_cloudwatch(
                await _cloudwatch(options, info.local, aws_endpoint_url, results)
            )
    print(f"{len(results.requests)} requests in {path}; python -m benchmark report")
    return 0


def target(url: str | None, key: str | None, local: Path | None) -> tuple[Api, str | None]:
    """With the local cloud's own URL, for CloudWatch."""
    if local:
        try:
            found = json.loads(local.read_text())
            api = Api(found["api_url"].rstrip("/"), found["api_key"])
            return api, found.get("aws_endpoint_url")
        except (OSError, KeyError, ValueError) as error:
            raise BenchmarkError(
                f"--local {local}: {error!r}; is the local cloud up (make up)?"
            ) from error
    key = key or os.environ.get("SD_API_KEY")
    if not url or not key:
        raise BenchmarkError("give --url and --key (or SD_API_KEY), or --local out/local.json")
    return Api(url.rstrip("/"), key), None


def _choose(listed: Mapping[str, Registration], names: Sequence[str]) -> list[Registration]:
    missing = [name for name in names if name not in listed]
    if missing:
        known = ", ".join(listed) or "none"
        raise BenchmarkError(f"not registered: {', '.join(missing)}; registered: {known}")
    if not listed:
        raise BenchmarkError("the API has no variants registered")
    return [listed[name] for name in names or listed]


def in_modes(chosen: Sequence[Registration], qualities: Sequence[str]) -> list[Measured]:
    for variant in chosen:
        for quality in qualities:
            if quality not in variant.served_modes:
                served = " and ".join(variant.served_modes)
                raise BenchmarkError(f"--quality {quality}: {variant.name} has {served}")
    return [Measured(variant, quality) for variant in chosen for quality in qualities]


def _info(
    options: RunOptions, url: str, prompt_set: PromptSet, chosen: Sequence[Registration]
) -> RunInfo:
    """The same steps, size and guidance for every variant, whatever each one's defaults are."""
    first = chosen[0]
    common = [size for size in first.sizes if all(size in other.sizes for other in chosen)]
    size = options.size or next(map(str, common), "")
    if size not in map(str, common):
        served = "; ".join(f"{v.name}: {', '.join(map(str, v.sizes))}" for v in chosen)
        raise BenchmarkError(f"no common size {size}: {served}")
    (_, steps), *more_steps = (
        (quality, options.steps or first.served_modes[quality].sampling.steps)
        for quality in options.quality
    )
    return RunInfo(
        url=url,
        local=urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1"),
        prompts=prompt_set.name,
        prompts_digest=prompt_set.digest,
        steps=steps,
        size=size,
        guidance_scale=options.guidance or first.default_guidance_scale,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        more_steps=dict(more_steps),
    )


@contextlib.contextmanager
def _stopping_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C lets answers in flight come in; the second one ends the process."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as handlers:

        def ask_to_stop() -> None:
            stop.set()
            handlers.close()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask_to_stop)
            handlers.callback(loop.remove_signal_handler, number)
        yield


async def _cloudwatch(
    options: RunOptions, local: bool, endpoint_url: str | None, results: ResultsFile
) -> list[CloudWatchRecord]:
    """Never fails a run: what could not be read is recorded with the reason."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    seconds = options.cloudwatch_wait
    if seconds is None:
        seconds = 0 if local else 120
    requests = results.requests
    config = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})
    try:
        aws = boto3.Session(region_name=requests[-1].variant.region or None)
        if aws.get_credentials() is None:
            return cloudwatch.unavailable(requests, "no AWS credentials were given")
        metrics, sagemaker = (
            aws.client(name, config=config, endpoint_url=endpoint_url)
            for name in ("cloudwatch", "sagemaker")
        )
    except BotoCoreError as error:
        return cloudwatch.unavailable(requests, str(error))
    if seconds:
        # Metrics reach CloudWatch a minute or two after the request.
        print(f"waiting {seconds:g} s for CloudWatch")
        await asyncio.sleep(seconds)
    failures = (BotoCoreError, ClientError)
    return await asyncio.to_thread(cloudwatch.collect, requests, metrics, sagemaker, failures)
