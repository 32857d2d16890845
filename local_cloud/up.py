"""`make up` and `make smoke`: boots the local cloud, deploys the app to it, makes a picture."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from local_cloud.child import ChildCloud, CloudFailed
from local_cloud.deployment import DeployedApi, DeployFailed, Deployment, out_folder, timed
from local_cloud.node import NodeMissing, cdk_cli
from local_cloud.picture import (
    PROMPT,
    Picture,
    PictureFailed,
    call,
    curl_line,
    make_picture,
    make_picture_patiently,
)
from local_cloud.weights import weights_context

STACK = "SdG5Stack"
GATEWAY_TIMEOUT_S = 29.0
INVOKE_TIMEOUT_S = 60.0
# What an invocation may take where SD_WEIGHTS has put a model of real size on a laptop.
PATIENCE_S = 3600.0
Say = Callable[[str], None]


class Ended(Exception):
    """A signal asked for the end."""


class CheckFailed(Exception):
    """`make smoke`: the picture is not the one asked for."""


@dataclass(frozen=True)
class Running:
    """A cloud with the app deployed to it."""

    cloud: ChildCloud
    deployment: Deployment
    api: DeployedApi
    picture: Picture


def main(port: int, *, command: str, further: Sequence[str] = ()) -> int:
    """`command`: up, smoke or bench. The exit status; whatever happens, nothing started stays."""
    from local_cloud.bench import BenchmarkFailed, bench

    try:
        with ending_by_signal(), running(port, _say) as up:
            if command == "smoke":
                _say(check(up.picture))
                return 0
            if command == "bench":
                bench(up, _say, further)
                return 0
            tell(up)
            while up.cloud.running():
                time.sleep(0.2)
            raise CloudFailed(f"The local cloud ended by itself:\n{up.cloud.last_log_lines()}")
    except Ended:
        _say("Ended; nothing is left running.")
        return 0
    except (BenchmarkFailed, CheckFailed, CloudFailed, DeployFailed, NodeMissing, PictureFailed,
            OSError) as error:  # fmt: skip
        print(f"\n{_advice(error)}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def running(port: int, say: Say) -> Iterator[Running]:
    """Boot, bootstrap, deploy, draw; and take it all down again."""
    began = time.monotonic()
    done = timed(lambda stage, seconds: say(f"{stage:<58} {seconds:6.1f} s"), time.monotonic)
    weights = os.environ.get("SD_WEIGHTS", "")
    context = weights_context(weights)
    cli = cdk_cli()
    done(f"Node {cli.node} and the CDK CLI")
    with ChildCloud(port, invoke_timeout_s=PATIENCE_S if weights else INVOKE_TIMEOUT_S) as cloud:
        done(f"local cloud on {cloud.settings.url}")
        deployment = Deployment(cloud, cli, context)
        try:
            deployment.bootstrap()
            done("cdk bootstrap")
            deployment.deploy(STACK)
            done(f"cdk deploy {STACK}")
            api = deployment.api()
            picture = first_picture(cloud, api) if weights else make_picture(api)
            path = save(picture)
            done(f"picture, {picture.width}×{picture.height}: {path}")
            up = Running(cloud, deployment, api, picture)
            with local_json(up):
                say(f"{'all in all':<58} {time.monotonic() - began:6.1f} s")
                yield up
        finally:
            deployment.stop()


def first_picture(cloud: ChildCloud, api: DeployedApi) -> Picture:
    """With real weights: through the API where this machine is quick enough, else past it."""
    endpoint = next(model for model in call(api, "/models")["data"])["endpoint_name"]
    runtime = cloud.client("sagemaker-runtime", read_timeout_s=PATIENCE_S)
    picture = make_picture_patiently(runtime, endpoint)
    seconds = picture.answer["seconds"]
    if seconds > GATEWAY_TIMEOUT_S:
        _say(
            f"This machine takes {seconds:.0f} s for a picture, the API's gateway waits "
            f"{GATEWAY_TIMEOUT_S:g} s: ask it for fewer steps, or the endpoint {endpoint} itself."
        )
    return picture


@contextlib.contextmanager
def local_json(up: Running) -> Iterator[None]:
    """out/local.json for scripts, while the cloud it describes runs."""
    path = out_folder() / "local.json"
    models = [model["id"] for model in call(up.api, "/models")["data"]]
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


def save(picture: Picture) -> Path:
    path = out_folder() / "picture.png"
    path.write_bytes(picture.png)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def tell(up: Running) -> None:
    """What a person does next."""
    _say(
        f"\nAPI   {up.api.url}\n"
        f"key   {up.api.key}\n\n"
        f"Make a picture:\n\n{curl_line(up.api)}\n\n"
        "Deploy one more variant:\n\n"
        f"{up.deployment.command_line().format(stack='SdInf2Stack')}\n\n"
        "This stays up until Ctrl-C."
    )


def check(picture: Picture) -> str:
    """What was found; CheckFailed unless it has the size and the content asked for."""
    if os.environ.get("SD_WEIGHTS"):
        return "The picture is a whole PNG; what it shows can only be told of the small model's."
    if (picture.width, picture.height) != (64, 64):
        raise CheckFailed(f"The picture is {picture.width}×{picture.height}, not 64×64.")
    from model_assets.tiny.picture_check import describe, expected

    drawn, asked = describe(picture.png), expected(PROMPT)
    if drawn != asked:
        raise CheckFailed(f"Asked for {asked}, the picture shows {drawn}.")
    return "The picture is what was asked for."


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


def _advice(error: Exception) -> str:
    if isinstance(error, DeployFailed):
        return f"The deploy failed:\n{error}"
    if isinstance(error, OSError):
        return f"{error}. Is the disk full?" if error.errno == 28 else str(error)
    return str(error)


def _say(line: str) -> None:
    print(line, flush=True)
