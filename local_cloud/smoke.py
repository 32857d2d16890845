"""`make smoke`: checks the first picture, and ends."""

from __future__ import annotations

import os

from local_cloud.failed import Failed
from local_cloud.picture import PROMPT
from local_cloud.running import Running, say

SIZE = (64, 64)


def smoke(running: Running) -> None:
    """Says what was found; Failed unless it has the size and the content asked for."""
    if os.environ.get("SD_WEIGHTS"):
        say("The picture is a whole PNG; what it shows can only be told of the small model's.")
        return
    picture = running.picture
    if (picture.width, picture.height) != SIZE:
        raise Failed(f"The picture is {picture.width}×{picture.height}, not 64×64.")
    from model_assets.tiny.picture_check import describe, expected

    drawn, asked = describe(picture.png), expected(PROMPT)
    if drawn != asked:
        raise Failed(f"Asked for {asked}, the picture shows {drawn}.")
    say("The picture is what was asked for.")
