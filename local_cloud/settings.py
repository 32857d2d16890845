"""Where the local cloud lives and how long it waits. Read once, handed to everything else."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

ACCOUNT = "000000000000"
REGION = "us-east-1"
REPOSITORY = Path(__file__).resolve().parent.parent
# `sd_contract`, which says SageMaker's and the gateway's limits. What runs in a container's place
# doesn't see it: its own is the image's.
sys.path.append(str(REPOSITORY / "model_assets"))


@dataclass(frozen=True)
class CloudSettings:
    """One local cloud.

    Seconds everywhere. `invoke_timeout_s` is None where InvokeEndpoint has SageMaker's own limit.
    `time_scale` is how long a second of AWS's takes where AWS only waits: an update's baking, an
    alarm's periods and delays. `container_starts` is how often a container that exits is started
    before it is given up, which AWS does when the start-up time-out is over.
    """

    port: int
    state: Path
    account: str = ACCOUNT
    region: str = REGION
    invoke_timeout_s: float | None = None
    ping_interval_s: float = 5.0
    unhealthy_restart_s: float = 60.0
    time_scale: float = 0.01
    container_starts: int = 2

    @property
    def url(self) -> str:
        """The one address every service answers on."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def images(self) -> Path:
        return self.state / "images"

    @property
    def endpoints(self) -> Path:
        return self.state / "endpoints"

    @property
    def builds(self) -> Path:
        return self.state / "builds"

    @property
    def jobs(self) -> Path:
        return self.state / "jobs"

    @property
    def groups(self) -> Path:
        """One file for each process group that has to be gone when the cloud is."""
        return self.state / "groups"

    @property
    def temporary(self) -> Path:
        return self.state / "tmp"

    @property
    def faults(self) -> Path:
        return self.state / "faults"

    def make_folders(self) -> None:
        for folder in (self.images, self.endpoints, self.builds, self.jobs, self.groups,
                       self.temporary, self.faults):  # fmt: skip
            folder.mkdir(parents=True, exist_ok=True)

    def fault(self, name: str) -> str | None:
        """Tests make AWS's own failures happen by a file of this name in `<state>/faults/`; its
        content, None where there is no such file."""
        try:
            return (self.faults / name).read_text()
        except FileNotFoundError:
            return None

    def arn(self, service: str, resource: str) -> str:
        """Of a resource of this cloud's account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


def api_url(settings: CloudSettings, on_aws: str) -> str:
    """Where an API answers here that would answer `on_aws` there: its name doesn't resolve to this
    machine, the path form does."""
    api_id = (urlparse(on_aws).hostname or "").split(".")[0]
    return f"{settings.url}/_aws/execute-api/{api_id}/v1"
