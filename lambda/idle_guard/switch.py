"""An endpoint, taken out of service and brought back.

SageMaker has no real-time endpoint without an instance, so stopping one deletes it; its model, its
configuration, its alarms and its registration stay, and are all it takes to make it again under the
same name. CloudFormation goes on holding it for its own: once it is back, deploys update it.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from sd_contract.registration import Registration, Stopped

IN_SERVICE, FAILED, DELETING = "InService", "Failed", "Deleting"
Tell = Callable[[str, Mapping[str, str]], None]
"""What has happened ("Endpoint Stopped") and its details."""


class NotYet(Exception):
    """It can't be done now; in a minute or two it can."""


class CannotStart(Exception):
    """What it would be made of isn't known."""


@dataclass(frozen=True)
class Switch:
    """Wraps boto3's SageMaker and SSM clients; their errors pass through. `parameter` is the
    variant's registration, `start_command` what is told of it; `now` is in seconds since the epoch.

    Stopping deletes and then marks the registration, starting takes the mark away and then creates:
    so an end in between leaves no endpoint and no mark, which `settle` mends.
    """

    sagemaker: Any
    ssm: Any
    parameter: str
    start_command: str
    tell: Tell
    now: Callable[[], float]

    def registration(self) -> Registration:
        return Registration.from_document(self._document())

    @functools.cached_property
    def endpoint_name(self) -> str:
        """Which is by the variant's name: no deploy changes it."""
        return self.registration().endpoint_name

    def described(self) -> Mapping[str, Any] | None:
        """DescribeEndpoint's answer; None where there is no endpoint."""
        try:
            found: Mapping[str, Any] = self.sagemaker.describe_endpoint(
                EndpointName=self.endpoint_name
            )
        except ClientError as error:
            # aws/sagemaker-python-sdk#1070's words; the code is every mistake's.
            if "Could not find endpoint" in error.response["Error"]["Message"]:
                return None
            raise
        return found

    def status(self) -> str | None:
        found = self.described()
        return str(found["EndpointStatus"]) if found else None

    def stop(self, why: str) -> None:
        """Does nothing to one that is stopped. Raises NotYet while it changes."""
        status = self.status()
        if status in (IN_SERVICE, FAILED):
            self.sagemaker.delete_endpoint(EndpointName=self.endpoint_name)
            self._mark(why)
        elif status is None:
            self.settle()
        elif status != DELETING:
            raise NotYet(f"{self.endpoint_name} is {status}: stop it once it isn't")

    def start(self) -> None:
        """Begins to; does nothing to one that is there. Raises NotYet while one of the name goes,
        CannotStart for a registration without a configuration."""
        found, status = self.registration(), self.status()
        if status == FAILED:
            self.sagemaker.delete_endpoint(EndpointName=found.endpoint_name)
        if status in (FAILED, DELETING):
            raise NotYet(f"{found.endpoint_name} is being deleted: start it in a minute")
        if status is None and found.endpoint_config is None:
            raise CannotStart(f"{self.parameter} names no endpoint_config: deploy its stack anew")
        self._unmark()
        if status is None:
            self.sagemaker.create_endpoint(
                EndpointName=found.endpoint_name, EndpointConfigName=found.endpoint_config
            )
            self.tell("Endpoint Started", {"endpoint": found.endpoint_name})

    def settle(self) -> Mapping[str, Any] | None:
        """Makes the registration say what is; the endpoint as `described`."""
        found = self.described()
        marked = self.registration().stopped is not None
        if found is None and not marked:
            self._mark("it was not there")
        elif found and found["EndpointStatus"] == IN_SERVICE and marked:
            self._unmark()
        return found

    def _document(self) -> dict[str, Any]:
        value = self.ssm.get_parameter(Name=self.parameter)["Parameter"]["Value"]
        document: dict[str, Any] = json.loads(value)
        return document

    def _mark(self, why: str) -> None:
        since = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="seconds")
        stopped = asdict(Stopped(since, why, self.start_command))
        document = self._document()
        self._write({**document, "stopped": stopped})
        self.tell("Endpoint Stopped", {"endpoint": document["endpoint_name"], **stopped})

    def _unmark(self) -> None:
        document = self._document()
        if document.pop("stopped", None):
            self._write(document)

    def _write(self, document: Mapping[str, Any]) -> None:
        value = json.dumps(document, separators=(",", ":"))
        self.ssm.put_parameter(Name=self.parameter, Value=value, Type="String", Overwrite=True)
