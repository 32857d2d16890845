"""What the function works with, handed to everything else."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from build_trigger.builds import Builds
from build_trigger.deploys import Deploys
from build_trigger.jobs import Jobs
from build_trigger.logs import Logs
from build_trigger.outputs import Outputs
from build_trigger.sending import Put


@dataclass(frozen=True)
class Services:
    """`clock` in seconds since the epoch; `pause` takes seconds."""

    builds: Builds
    outputs: Outputs
    jobs: Jobs
    deploys: Deploys
    logs: Logs
    put: Put
    clock: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep
