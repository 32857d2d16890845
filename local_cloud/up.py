"""`make up`: says what a person does next, and stays up."""

from __future__ import annotations

import time

from local_cloud.child import CloudFailed
from local_cloud.picture import curl_line
from local_cloud.running import Running, say


def up(running: Running) -> None:
    """Until a signal comes. CloudFailed where the cloud ends by itself."""
    say(
        f"\nAPI   {running.api.url}\n"
        f"key   {running.api.key}\n\n"
        f"Make a picture:\n\n{curl_line(running.api)}\n\n"
        "Deploy one more variant:\n\n"
        f"{running.deployment.command_line().format(stack='SdInf2Stack')}\n\n"
        "This stays up until Ctrl-C."
    )
    while running.cloud.running():
        time.sleep(0.2)
    raise CloudFailed(f"The local cloud ended by itself:\n{running.cloud.last_log_lines()}")
