"""`python -m operations preflight [stack …]`."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from operations.account import Clients
from operations.preflight.checks import Preflight
from operations.preflight.finding import Verdict
from operations.preflight.identity import home_of
from operations.preflight.plan import Plan, read_plan
from stacks.build_scripts.hub import open_url
from stacks.settings import Settings


def planned(settings: Settings, context: Mapping[str, Any], chosen: Sequence[str]) -> Plan:
    """By a synthesis, which needs no account. Raises NoSuchStack."""
    # They start Node; nothing else here needs it.
    from aws_cdk import App

    from app import compose

    # Node is what the environment brings along: it works with it.
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "18,20")
    with tempfile.TemporaryDirectory() as folder:
        app = App(context=dict(context), outdir=folder)
        compose(app, settings)
        app.synth()
        return read_plan(Path(folder), chosen)


def preflight(
    settings: Settings,
    context: Mapping[str, Any],
    chosen: Sequence[str],
    clients_of: Callable[[str], Clients],
    partition_of: Callable[[str], str],
) -> int:
    """Prints each finding; the exit status, 1 where something will fail. `clients_of` gives clients
    of a region."""
    from stacks.components.weights import weights_key

    plan = planned(settings, context, chosen)
    print(f"What {', '.join(plan.stacks)} in {settings.region} would meet:\n", flush=True)
    checks = Preflight(
        settings,
        plan,
        clients_of(settings.region),
        clients_of(home_of(settings.region, partition_of)),
        open_url,
        weights_key,
    )
    counts = dict.fromkeys(Verdict, 0)
    for finding in checks.run():
        print(finding, flush=True)
        counts[finding.verdict] += 1
    print("\n" + ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items()))
    return 1 if counts[Verdict.FAILS] else 0
