"""A local cloud with the app deployed to it: booted, in use, and gone. What the commands share."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from api_client import Api
from local_cloud.child import ChildCloud
from local_cloud.deployment import Deployment, out_folder
from local_cloud.failed import Failed
from local_cloud.node import cdk_cli
from local_cloud.picture import (
    FirstPicture,
    endpoints_by_model,
    make_picture,
    make_picture_patiently,
)
from local_cloud.weights import weights_context
from sd_contract.limits import GATEWAY_S

STACK = "SdG5Stack"
# What an invocation may take where SD_WEIGHTS has put a model of real size on a laptop.
PATIENCE_S = 3600.0
DISK_FULL = 28


class Ended(Exception):
    """A signal asked for the end."""


@dataclass(frozen=True)
class Running:
    """A cloud with the app deployed to it."""

    cloud: ChildCloud
    deployment: Deployment
    api: Api
    picture: FirstPicture


def run_command(port: int, command: Callable[[Running], None]) -> int:
    """`command` with a cloud on `port`; the exit status. Nothing that was started stays."""
    try:
        with ending_by_signal(), running(port) as up:
            command(up)
            return 0
    except Ended:
        say("Ended; nothing is left running.")
        return 0
    except (Failed, OSError) as error:
        full = isinstance(error, OSError) and error.errno == DISK_FULL
        print(f"\n{error}{'. Is the disk full?' if full else ''}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def running(port: int) -> Iterator[Running]:
    """Boot, bootstrap, deploy, draw; and take it all down again."""
    began = last = time.monotonic()

    def done(stage: str) -> None:
        nonlocal last
        say(f"{stage:<58} {time.monotonic() - last:6.1f} s")
        last = time.monotonic()

    weights = os.environ.get("SD_WEIGHTS", "")
    context = weights_context(weights)
    cli = cdk_cli()
    done(f"Node {cli.node} and the CDK CLI")
    with ChildCloud(port, invoke_timeout_s=PATIENCE_S if weights else None) as cloud:
        done(f"local cloud on {cloud.settings.url}")
        deployment = Deployment(cloud, cli, context)
        try:
            deployment.bootstrap()
            done("cdk bootstrap")
            deployment.deploy(STACK)
            done(f"cdk deploy {STACK}")
            api = deployment.api()
            endpoints = endpoints_by_model(api)
            picture = first_picture(cloud, endpoints) if weights else make_picture(api)
            path = save(picture)
            done(f"picture, {picture.width}×{picture.height}: {path}")
            up = Running(cloud, deployment, api, picture)
            with local_json(up, list(endpoints)):
                say(f"{'all in all':<58} {time.monotonic() - began:6.1f} s")
                yield up
        finally:
            deployment.stop()


def first_picture(cloud: ChildCloud, endpoints: Mapping[str, str]) -> FirstPicture:
    """With real weights: past the API, whose gateway may not wait for as long."""
    endpoint = next(iter(endpoints.values()))
    runtime = cloud.client("sagemaker-runtime", read_timeout_s=PATIENCE_S)
    picture = make_picture_patiently(runtime, endpoint)
    if picture.seconds > GATEWAY_S:
        say(
            f"This machine takes {picture.seconds:.0f} s for a picture, the API's gateway waits "
            f"{GATEWAY_S} s: ask it for fewer steps, or the endpoint {endpoint} itself."
        )
    return picture


@contextlib.contextmanager
def local_json(up: Running, models: Sequence[str]) -> Iterator[None]:
    """out/local.json for scripts, while the cloud it describes runs."""
    path = out_folder() / "local.json"
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "api_url": up.api.url,
                "api_key": up.api.key,
                "aws_endpoint_url": up.cloud.settings.url,
                "models": models,
                "deploy_command": up.deployment.command_line(),
            },
            indent=1,
        )
    )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def save(picture: FirstPicture) -> Path:
    path = out_folder() / "picture.png"
    path.write_bytes(picture.png)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@contextlib.contextmanager
def ending_by_signal() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP raise Ended, once; a second one disturbs no clearing up."""

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise Ended

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(line: str) -> None:
    print(line, flush=True)
