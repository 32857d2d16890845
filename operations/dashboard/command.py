"""`python -m operations dashboard`: the dashboard as a picture, where no console is at hand."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from operations.account import Clients
from operations.dashboard.drawing import draw
from operations.dashboard.figures import figures_of
from operations.dashboard.made_up import DAY_S, made_up
from stacks.components.dashboard import dashboard_body
from stacks.settings import Settings

MADE_UP_DAY = datetime(2026, 11, 25, tzinfo=UTC)


def dashboard(
    settings: Settings, clients: Clients, now: Callable[[], float], path: Path, *, invented: bool
) -> int:
    """The last 24 hours of the account, or a day that is made up; the exit status."""
    title = f"Dashboard {settings.names.dashboard(settings.region)}"
    body = dashboard_body(settings)
    if invented:
        start_s = MADE_UP_DAY.timestamp()
        said, figures = f"{title}, drawn from made-up traffic", made_up(settings, start_s)
    else:
        start_s = now() - DAY_S
        when = datetime.fromtimestamp(start_s, UTC)
        said = f"{title}, 24 hours from {when:%Y-%m-%d %H:%M} UTC"
        figures = figures_of(clients("cloudwatch"))
    drawn = draw(body, figures, start_s, start_s + DAY_S, said, path)
    print(f"{path}: {said}; {drawn} metrics have data")
    return 0
