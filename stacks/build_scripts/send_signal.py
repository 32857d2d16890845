"""A build's last phase: tells the deploy that waits for it how the build went."""

import json
import os
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

MAX_REASON = 1000


def signal(env: Mapping[str, str], failure: str | None) -> dict[str, str]:
    """The document for the wait condition. The id is the build's own, so that what EventBridge
    makes the trigger send later counts as the same signal sent again."""
    succeeded = env.get("CODEBUILD_BUILD_SUCCEEDING") == "1"
    if succeeded:
        reason = "built"
    else:
        reason = f"{last_words(failure or 'the build failed')} (log: {log_link(env)})"
    return {
        "Status": "SUCCESS" if succeeded else "FAILURE",
        "Reason": reason,
        "UniqueId": env["CODEBUILD_BUILD_ID"].rsplit(":", 1)[-1],
        "Data": "",
    }


def last_words(text: str) -> str:
    """In one line, as a stack's events are read; where they are too long, the last lines whole."""
    lines = [line.strip() for line in text.strip().splitlines()]
    while len(lines) > 1 and len(" / ".join(lines)) > MAX_REASON:
        lines.pop(0)
    return " / ".join(lines)[-MAX_REASON:]


def log_link(env: Mapping[str, str]) -> str:
    """The console's page of this build's log."""

    def part(text: str) -> str:
        # The console's own twist: percent-encoded twice, with $ for the percent sign.
        return quote(quote(text, safe=""), safe="").replace("%", "$")

    region = env["AWS_REGION"]
    group, stream = part(env["SD_LOG_GROUP"]), part(env.get("CODEBUILD_LOG_PATH", ""))
    return (
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
        f"#logsV2:log-groups/log-group/{group}/log-events/{stream}"
    )


def put(url: str, document: Mapping[str, str]) -> None:
    # The URL is signed with an empty content type; urllib would send its own.
    request = urllib.request.Request(
        url, json.dumps(document).encode(), {"Content-Type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=30):
        pass


def main(env: Mapping[str, str], send: Callable[[str, Mapping[str, str]], None] = put) -> None:
    note = Path(env["CODEBUILD_SRC_DIR"]) / ".failure"
    document = signal(env, note.read_text() if note.exists() else None)
    print(f"{document['Status']}: {document['Reason']}")
    send(env["SD_WAIT_URL"], document)


if __name__ == "__main__":
    main(os.environ)
