"""`python -m local_cloud serve|up|smoke|bench|vectors`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from local_cloud.settings import REPOSITORY, CloudSettings

DEFAULT_PORT = 4566


def main(arguments: list[str]) -> int:
    """Run one command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local_cloud", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve_parser = commands.add_parser("serve", help="boot the local cloud, deploy nothing")
    serve_parser.add_argument("--state", type=Path, help="an empty folder; removed at the end")
    serve_parser.add_argument(
        "--until-eof", action="store_true", help="end when standard input ends"
    )
    serve_parser.add_argument("--port", type=int, help="default: SD_LOCAL_PORT, or 4566")
    serve_parser.add_argument(
        "--invoke-timeout", type=float, help="InvokeEndpoint's limit in seconds"
    )
    commands.add_parser("up", help="boot it, deploy the app, make a picture, stay up")
    commands.add_parser("smoke", help="the same, check the picture, end")
    commands.add_parser(
        "bench",
        help="the same, deploy the other variants, benchmark all, end; further arguments go to"
        " `python -m benchmark run`",
    )
    vectors_parser = commands.add_parser("vectors", help="how long S3 Vectors' queries take here")
    vectors_parser.add_argument("--count", type=int, default=100_000)
    vectors_parser.add_argument("--dimension", type=int, default=1024)
    options, further = parser.parse_known_args(arguments)
    if further and options.command != "bench":
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    if options.command == "serve":
        from local_cloud.server import serve

        port = options.port or port_setting()
        state = options.state or REPOSITORY / ".local" / f"serve-{os.getpid()}"
        serve(CloudSettings(port, state, invoke_timeout_s=options.invoke_timeout),
              until_eof=options.until_eof)  # fmt: skip
        return 0
    if options.command == "vectors":
        from local_cloud.s3vectors.speed import measure

        print(measure(options.count, options.dimension))
        return 0
    from local_cloud.bench import bench
    from local_cloud.running import run_command
    from local_cloud.smoke import smoke
    from local_cloud.up import up

    chosen = {"up": up, "smoke": smoke, "bench": lambda running: bench(running, further)}
    return run_command(port_setting(), chosen[options.command])


def port_setting() -> int:
    """SD_LOCAL_PORT, or the usual port."""
    text = os.environ.get("SD_LOCAL_PORT", "") or str(DEFAULT_PORT)
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        sys.exit(f"SD_LOCAL_PORT={text}: give a port from 1024 to 65535.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
