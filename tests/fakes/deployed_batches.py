"""The app's batches on a local cloud, from its templates alone: no CDK CLI, toys for variants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local_cloud.child import ChildCloud
from sd_contract.fleet import Fleet
from tests.fakes.deployed_api import DeployedApi
from tests.fakes.front_door import registration
from tests.fakes.local_account import wait_for

ENDED = ("completed", "failed", "expired", "cancelled")


class DeployedBatches(DeployedApi):
    """`exported` are the batch stack's outputs by the beginnings of their names."""

    def __init__(self, cloud: ChildCloud, folder: Path, prefix: str) -> None:
        super().__init__(cloud, folder, **{"sd.prefix": prefix})
        self.prefix = prefix
        (batches,) = (name for name in self.app.templates if name.endswith("BatchStack"))
        self.publish(batches)
        made = {
            stack["StackName"]
            for stack in cloud.client("cloudformation").describe_stacks()["Stacks"]
        }
        for needed in self.app.dependencies[batches] - made:
            self._create(needed)
        self._exported = self._create(batches)

    def exported(self, part: str) -> str:
        """The output whose name has that part."""
        (value,) = (value for name, value in self._exported.items() if part in name)
        return value

    def queues(self, part: str) -> list[str]:
        """The URLs of those whose names have that part."""
        found = self.cloud.client("sqs").list_queues()["QueueUrls"]
        return [url for url in found if part in url and self.prefix in url.lower()]

    def register(self, variant: str, endpoint: str, fleet: Fleet, **more: Any) -> None:
        """As its stack does; `more` of its registration."""
        document = registration(variant, endpoint_name=endpoint, serve=list(fleet.serve), **more)
        for kind, text in (("variants", json.dumps(document)), ("fleets", fleet.to_json())):
            self.cloud.client("ssm").put_parameter(
                Name=f"/{self.prefix}/{kind}/{variant}", Value=text, Type="String"
            )

    def call(self, method: str, path: str, **request: Any) -> Any:
        answer = self.send(method, path, headers={"x-api-key": self.key}, **request)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def begin(self, model: str, lines: list[dict[str, Any]], **metadata: str) -> str:
        """The id of a batch of these bodies."""
        requests = [
            {"custom_id": f"{n}", "url": "/v1/images/generations", "body": {"model": model, **body}}
            for n, body in enumerate(lines)
        ]
        made = self.call("POST", "/batches", json={"requests": requests, "metadata": metadata})
        return str(made["id"])

    def batch(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/batches/{id}")
        return found

    def validated(self, id: str) -> dict[str, Any]:
        wait_for(lambda: self.batch(id)["status"] != "validating", every=1)
        return self.batch(id)

    def ended(self, id: str, seconds: float = 60) -> dict[str, Any]:
        # Each look is a call of two functions, beside those that do the work.
        wait_for(lambda: self.batch(id)["status"] in ENDED, seconds, every=1)
        return self.batch(id)

    def lines(self, file: str) -> list[dict[str, Any]]:
        answer = self.send("GET", f"/files/{file}/content", headers={"x-api-key": self.key})
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]
