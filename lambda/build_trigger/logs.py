"""What a build that failed has said last: the reason that its deploy is given."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# CodeBuild's own lines begin so.
OWN = "[Container] "
COMMAND = re.compile(r"\[Container\] .*?Running command ")
LINES = 3
# A log arrives a moment after its build has ended.
PAUSES_S = (2, 5, 10)


@dataclass(frozen=True)
class Logs:
    """Wraps a boto3 CloudWatch Logs client; its errors pass through."""

    logs: Any

    def last_words(self, group: str, stream: str, pause: Callable[[float], None]) -> list[str]:
        """The last lines of the last command, none where it said nothing. `pause` takes seconds."""
        for seconds in PAUSES_S:
            said = self._of_last_command(group, stream)
            if any(line.startswith(f"{OWN}") and "Phase complete: " in line for line in said):
                break
            pause(seconds)
        else:
            said = self._of_last_command(group, stream)
        words = (line.strip() for line in said if not line.startswith(OWN))
        return [line for line in words if line][-LINES:]

    def _of_last_command(self, group: str, stream: str) -> list[str]:
        page = self.logs.get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=False, limit=200
        )
        said: list[str] = []
        for line in (line for e in page["events"] for line in e["message"].splitlines()):
            said = [] if COMMAND.match(line) else [*said, line]
        return said


def in_one_line(lines: list[str], most: int) -> str:
    """As a stack's events are read, of `most` characters; where they are too long, the last lines
    whole."""
    while len(lines) > 1 and len(" / ".join(lines)) > most:
        lines = lines[1:]
    return " / ".join(lines)[-most:]
