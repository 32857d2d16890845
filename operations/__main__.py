"""`python -m operations preflight|teardown|list|stop|start|dashboard`."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import boto3
from botocore.config import Config

from operations.account import Clients, Unanswered
from operations.dashboard.command import dashboard
from operations.endpoints import endpoints
from operations.preflight.command import preflight
from operations.preflight.plan import NoSuchStack
from operations.teardown.command import teardown
from stacks.settings import ROOT, SettingsError, load

# An account that isn't reached is soon known.
CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3})


def clients_of(region: str) -> Clients:
    session = boto3.Session(region_name=region)
    return lambda service: session.client(service, config=CONFIG)


def default_region(session: boto3.Session) -> str:
    """As the CDK CLI chooses it."""
    return str(os.environ.get("AWS_REGION") or session.region_name or "us-east-1")


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m operations", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    before = commands.add_parser("preflight", help="whether a deploy can succeed; reads only")
    before.add_argument("stack", nargs="*", help="default: all of the app's")
    after = commands.add_parser("teardown", help="what is left after cdk destroy --all")
    after.add_argument(
        "--remove",
        choices=("app", "all"),
        default="",
        help="take it away: what is the app's, or what other apps may use as well",
    )
    commands.add_parser("list", help="the variants' endpoints, and what each costs")
    for action, does in (("stop", "a stopped one costs nothing"), ("start", "waits until it is")):
        by_hand = commands.add_parser(action, help=f"a variant's endpoint; {does}")
        by_hand.add_argument("variant", help="such as g5")
    page = commands.add_parser("dashboard", help="its widgets as a picture, of the last 24 hours")
    page.add_argument("picture", type=Path, help="a PNG to write")
    page.add_argument("--made-up", action="store_true", help="a day that nobody had; no account")
    for command in commands.choices.values():
        command.add_argument("-c", "--context", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args(arguments)
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    for pair in options.context:
        name, _, value = pair.partition("=")
        context[name] = value
    session = boto3.Session()
    try:
        settings = load(context, default_region(session))
        if options.command == "preflight":
            return preflight(
                settings, context, options.stack, clients_of, session.get_partition_for_region
            )
        clients = clients_of(settings.region)
        if options.command == "teardown":
            variants = settings.variant_names
            return teardown(clients, settings.names, variants, settings.region, options.remove)
        if options.command == "dashboard":
            return dashboard(
                settings, clients, time.time, options.picture, invented=options.made_up
            )
        variant = getattr(options, "variant", "")
        return endpoints(clients, settings.names, options.command, variant)
    except (SettingsError, NoSuchStack) as error:
        print(error, file=sys.stderr)
        return 2
    except Unanswered as error:
        sys.exit(f"AWS said no: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
