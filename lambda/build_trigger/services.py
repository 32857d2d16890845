"""What the function works with, handed to everything else."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from build_trigger.builds import Builds
from build_trigger.deploys import Deploys
from build_trigger.jobs import Jobs
from build_trigger.logs import Logs
from build_trigger.outputs import Outputs
from cfn_requests.sending import Put, shortened


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

    def signal(self, wait_url: str, unique_id: str, *, reason: str, success: bool) -> None:
        """To a wait condition. A second signal with the same id counts as sent again."""
        document = {
            "Status": "SUCCESS" if success else "FAILURE",
            "Reason": shortened(reason),
            "UniqueId": unique_id,
            "Data": "",
        }
        self.put(wait_url, document)
