"""Each thing that the front door's role may do is needed: without it, a call fails."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from local_cloud.child import ChildCloud
from sd_contract.invocation import STAGES, Answer
from tests.fakes.deployed_api import DeployedApi
from tests.fakes.front_door import PNG, registration
from tests.fakes.local_account import log_lines
from tests.fakes.toy_endpoint import ToyEndpoint

PREFIX = "role"


@pytest.fixture(scope="module")
def api(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory) -> DeployedApi:
    """With two variants registered: its own, and one whose endpoint is another copy's."""
    about = {"images_in_batch": 1, "prompt_tokens": 5, "negative_prompt_tokens": 2}
    answer = Answer((PNG,), (7,), dict.fromkeys(STAGES, 1.0), about).to_json().decode()
    deployed = DeployedApi(cloud, tmp_path_factory.mktemp("role"), **{"sd.prefix": PREFIX})
    for variant, endpoint in (("g5", f"{PREFIX}-g5"), ("other", f"{PREFIX}-other-g5")):
        ToyEndpoint(cloud, endpoint).create(Environment={"ANSWER": answer})
        document = registration(variant, endpoint_name=endpoint)
        cloud.client("ssm").put_parameter(
            Name=f"/{PREFIX}/variants/{variant}", Value=json.dumps(document), Type="String"
        )
    return deployed


def lists(api: DeployedApi) -> bool:
    return api.send("GET", "/models", headers={"x-api-key": api.key}).status_code == 200


def generated(api: DeployedApi, **fields: Any) -> httpx.Response:
    body = {"prompt": "a red fox", "seed": 7, **fields}
    return api.send("POST", "/images/generations", json=body, headers={"x-api-key": api.key})


def generates(api: DeployedApi) -> bool:
    return generated(api, response_format="b64_json").status_code == 200


def keeps_off_other_copies(api: DeployedApi) -> bool:
    return generated(api, model="other", response_format="b64_json").status_code == 500


def stores(api: DeployedApi) -> bool:
    return generated(api).status_code == 200


def hands_out(api: DeployedApi) -> bool:
    answer = generated(api)
    assert answer.status_code == 200
    return httpx.get(answer.json()["data"][0]["url"]).content == PNG


def asks_the_gallery(api: DeployedApi) -> bool:
    """That there is none, it hears by asking."""
    return api.send("GET", "/pictures", headers={"x-api-key": api.key}).status_code == 404


def sends_to_the_gallery(api: DeployedApi) -> bool:
    (warning,) = generated(api, store=True).json()["warnings"]
    return "This API has no gallery" in warning


def logs(api: DeployedApi) -> bool:
    sent = api.send("GET", "/models", headers={"x-api-key": api.key})
    groups = api.cloud.client("logs").describe_log_groups()["logGroups"]
    (group,) = (each["logGroupName"] for each in groups if f"{api.stack}/FrontDoor" in str(each))
    return any(sent.headers["x-request-id"] in line for line in log_lines(api.cloud, group))


NEEDED_FOR: dict[tuple[str, str], Callable[[DeployedApi], bool]] = {
    ("Allow", "logs:CreateLogStream"): logs,
    ("Allow", "logs:PutLogEvents"): logs,
    ("Allow", "sagemaker:InvokeEndpoint"): generates,
    ("Deny", "sagemaker:InvokeEndpoint"): keeps_off_other_copies,
    ("Allow", "ssm:GetParametersByPath"): lists,
    ("Allow", "s3:PutObject"): stores,
    ("Allow", "s3:GetObject"): hands_out,
    ("Allow", "lambda:InvokeFunction"): asks_the_gallery,
    ("Allow", "sqs:SendMessage"): sends_to_the_gallery,
}


class Role:
    """The function's, as the deploy has made it."""

    def __init__(self, api: DeployedApi, package: str = "front_door") -> None:
        self._times = itertools.count()
        self._iam, self._functions = api.cloud.client("iam"), api.cloud.client("lambda")
        name = api.function(package)
        self._function = self._functions.get_function_configuration(FunctionName=name)
        name = self._function["Role"].rsplit("/", 1)[1]
        (policy,) = self._iam.list_role_policies(RoleName=name)["PolicyNames"]
        self._place = {"RoleName": name, "PolicyName": policy}
        self.statements: list[dict[str, Any]] = self._iam.get_role_policy(**self._place)[
            "PolicyDocument"
        ]["Statement"]

    def actions(self) -> Iterator[tuple[str, str]]:
        for statement in self.statements:
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                yield statement["Effect"], action

    @contextmanager
    def without(self, effect: str, action: str) -> Iterator[None]:
        """The others stay. The function begins anew: it remembers what it has read."""
        left = []
        for statement in self.statements:
            actions = statement["Action"]
            kept = [each for each in ([actions] if isinstance(actions, str) else actions)
                    if (statement["Effect"], each) != (effect, action)]  # fmt: skip
            if kept:
                left.append({**statement, "Action": kept})
        try:
            self._put(left)
            yield
        finally:
            self._put(self.statements)

    def _put(self, statements: list[dict[str, Any]]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self._iam.put_role_policy(**self._place, PolicyDocument=document)
        variables = {**self._function["Environment"]["Variables"], "TIME": str(next(self._times))}
        self._functions.update_function_configuration(
            FunctionName=self._function["FunctionName"], Environment={"Variables": variables}
        )


@pytest.fixture(scope="module")
def role(api: DeployedApi) -> Role:
    return Role(api)


def test_each_permission_has_its_call(role: Role) -> None:
    assert sorted(role.actions()) == sorted(NEEDED_FOR)


@pytest.mark.parametrize(("effect", "action"), NEEDED_FOR)
def test_without_it_its_call_fails(api: DeployedApi, role: Role, effect: str, action: str) -> None:
    works = NEEDED_FOR[effect, action]
    with role.without(effect, action):
        assert not works(api)
    assert works(api)
