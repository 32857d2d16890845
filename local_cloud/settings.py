"""Where the local cloud lives and how long it waits. Read once, handed to everything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "000000000000"
REGION = "us-east-1"
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class CloudSettings:
    """One local cloud.

    Seconds everywhere. The invocation limits are SageMaker's own; only tests shorten them.
    `time_scale` is how long a second of AWS's takes where AWS only waits: an update's baking, an
    alarm's periods and delays. `container_starts` is how often a container that exits is started
    before it is given up, which AWS does when the start-up time-out is over.
    """

    port: int
    state: Path
    account: str = ACCOUNT
    region: str = REGION
    invoke_timeout_s: float = 60.0
    max_body_bytes: int = 6_291_456
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

    def make_folders(self) -> None:
        for folder in (
            self.images,
            self.endpoints,
            self.builds,
            self.jobs,
            self.groups,
            self.temporary,
        ):
            folder.mkdir(parents=True, exist_ok=True)
