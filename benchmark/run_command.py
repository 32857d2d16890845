"""`benchmark run`: from arguments to a session, and CloudWatch after it."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tqdm import tqdm

from benchmark import cloudwatch, load
from benchmark.client import ApiClient, Registered
from benchmark.errors import BenchmarkError
from benchmark.pricing import read_prices
from benchmark.prompts import PromptSet, load_prompts
from benchmark.records import CloudWatchRecord, ResultsFile, RunInfo
from benchmark.session import Plan, Progress, Session, common_size


@dataclass(frozen=True)
class Target:
    url: str
    key: str
    aws_endpoint_url: str | None

    @property
    def local(self) -> bool:
        return urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")


async def run(arguments: argparse.Namespace) -> int:
    target = _target(arguments)
    prompt_set = _cut(load_prompts(arguments.prompts), arguments.prompt_count)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(limits=limits, timeout=arguments.timeout) as http:
        api = ApiClient(http, target.url, target.key, arguments.timeout, arguments.response_format)
        chosen = _choose(await api.models(read_prices()), arguments.models)
        info = _info(arguments, target, prompt_set, chosen)
        plan = Plan(
            variants=[variant.served for variant in chosen],
            phases=[
                *(load.closed(callers) for callers in arguments.concurrency),
                *(load.open_(rate) for rate in sorted(arguments.rates)),
            ],
            prompt_set=prompt_set,
            warm_up=arguments.warm_up,
            repetitions=arguments.repetitions,
            load_requests=arguments.load_requests,
        )
        path: Path = arguments.results
        with ResultsFile(path, info) as results:
            pictures = None if arguments.no_pictures else path.parent / "pictures"
            session = Session(api, results, info, plan, pictures, _progress, tqdm.write)
            with _stopping_on_signals(session.stop):
                await session.run()
            if session.stop.is_set():
                print(f"stopped; the same command goes on from {path}", file=sys.stderr)
                return 130
            results.add_cloudwatch(await _cloudwatch(arguments, target, results))
    print(f"{len(results.requests)} requests in {path}; python -m benchmark report")
    return 0


def _target(arguments: argparse.Namespace) -> Target:
    if arguments.local:
        try:
            document = json.loads(arguments.local.read_text())
            return Target(
                document["api_url"], document["api_key"], document.get("aws_endpoint_url")
            )
        except (OSError, KeyError, ValueError) as error:
            raise BenchmarkError(
                f"--local {arguments.local}: {error!r}; is the local cloud up (make up)?"
            ) from error
    key = arguments.key or os.environ.get("SD_API_KEY")
    if not arguments.url or not key:
        raise BenchmarkError("give --url and --key (or SD_API_KEY), or --local out/local.json")
    return Target(arguments.url, key, None)


def _cut(prompt_set: PromptSet, count: int | None) -> PromptSet:
    return PromptSet(prompt_set.name, prompt_set.digest, prompt_set.prompts[:count])


def _choose(registered: Mapping[str, Registered], names: Sequence[str] | None) -> list[Registered]:
    known = ", ".join(registered) or "none"
    missing = [name for name in names or [] if name not in registered]
    if missing:
        raise BenchmarkError(f"not registered: {', '.join(missing)}; registered: {known}")
    chosen = [registered[name] for name in names or registered]
    if not chosen:
        raise BenchmarkError("the API has no variants registered")
    return chosen


def _info(
    arguments: argparse.Namespace,
    target: Target,
    prompt_set: PromptSet,
    chosen: Sequence[Registered],
) -> RunInfo:
    """The same steps, size and guidance for every variant, whatever each one's defaults are."""
    sizes = [variant.sizes for variant in chosen]
    size = arguments.size or common_size(sizes)
    lacking = [v.served.name for v in chosen if size not in v.sizes]
    if size is None or lacking:
        served = "; ".join(f"{v.served.name}: {', '.join(v.sizes)}" for v in chosen)
        raise BenchmarkError(f"no common size {size or ''}: {served}")
    return RunInfo(
        url=target.url,
        local=target.local,
        prompts=prompt_set.name,
        prompts_digest=prompt_set.digest,
        steps=arguments.steps or chosen[0].default_steps,
        size=size,
        guidance_scale=arguments.guidance or chosen[0].default_guidance_scale,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _progress(title: str, total: int) -> Progress:
    bar: Progress = tqdm(
        total=total, desc=title, unit="picture", mininterval=1.0, dynamic_ncols=True
    )
    return bar


@contextlib.contextmanager
def _stopping_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C lets answers in flight come in; the second one ends the process."""
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)

    def ask_to_stop() -> None:
        stop.set()
        for number in caught:
            loop.remove_signal_handler(number)

    for number in caught:
        loop.add_signal_handler(number, ask_to_stop)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)


async def _cloudwatch(
    arguments: argparse.Namespace, target: Target, results: ResultsFile
) -> list[CloudWatchRecord]:
    """Never fails a run: what could not be read is recorded with the reason."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})
    region = results.requests[-1].variant.region or None
    wait = arguments.cloudwatch_wait
    try:
        aws = boto3.Session(region_name=region)
        if aws.get_credentials() is None:
            return cloudwatch.unavailable(results.requests, "no AWS credentials were given")
        metrics, sagemaker = (
            aws.client(name, config=config, endpoint_url=target.aws_endpoint_url)
            for name in ("cloudwatch", "sagemaker")
        )
    except BotoCoreError as error:
        return cloudwatch.unavailable(results.requests, str(error))
    seconds = (0 if target.local else 120) if wait is None else wait
    if seconds:
        # Metrics reach CloudWatch a minute or two after the request.
        print(f"waiting {seconds:g} s for CloudWatch")
        await asyncio.sleep(seconds)
    return await asyncio.to_thread(
        cloudwatch.collect, results.requests, metrics, sagemaker, (BotoCoreError, ClientError)
    )
