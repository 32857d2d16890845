"""Lambda's entries of the API and of the checker, with the clients that they make themselves."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from batches.api import handler as api
from batches.checker import handler as checker
from batches.config import Config
from batches.records import IN_PROGRESS
from sd_contract.environment import ConfigError
from tests.fakes import batches as fakes
from tests.fakes.batch_engines import CONFIG, ENV
from tests.fakes.batches import World, batch

CONTEXT = SimpleNamespace(aws_request_id="invocation", get_remaining_time_in_millis=lambda: 900_000)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    credentials = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    names = {"SD_BATCH_BUCKET": fakes.BUCKET, "AWS_DEFAULT_REGION": fakes.REGION}
    for name, value in {**ENV, **credentials, **names}.items():
        monkeypatch.setenv(name, value)
    caches: list[Any] = [api.build_api, api._config, checker.build]
    with fakes.aws() as session:
        yield World(session)
    for made in caches:
        made.cache_clear()


def get(path: str, **changes: Any) -> dict[str, Any]:
    first, _, rest = path.partition("/")
    return api.handler(
        {
            "resource": f"/{first}/{{proxy+}}" if rest else f"/{first}",
            "pathParameters": {"proxy": rest} if rest else None,
            "httpMethod": "GET",
            "headers": {"Origin": "https://a.example"},
            **changes,
        },
        CONTEXT,
    )


def test_a_batch_is_finished_and_fetched(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.store.add(batch(status=IN_PROGRESS))
    checker.handler({"action": "finish", "batch_id": "batch_1"}, CONTEXT)
    response = get("batches/batch_1")
    assert json.loads(response["body"])["status"] == "completed"
    log = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (log["status"], log["path"], log["method"]) == (200, "/batches/{proxy+}", "GET")


@pytest.mark.parametrize("action", ["check", "stop"])
def test_what_has_nothing_to_do_does_nothing(world: World, action: str) -> None:
    world.store.add(batch(status=IN_PROGRESS, in_progress_at=1, deadline=9_999_999_999))
    checker.handler({"action": action, "batch_id": "batch_1"}, CONTEXT)
    assert world.store.batch("batch_1").status == IN_PROGRESS


@pytest.mark.usefixtures("world")
def test_a_page_of_an_origin_that_may_reads_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_CORS_ORIGINS", "https://a.example")
    for path in ("batches", "batches/none"):
        assert get(path)["headers"]["Access-Control-Allow-Origin"] == "https://a.example"


@pytest.mark.usefixtures("world")
def test_a_wrong_environment_is_a_500_with_the_reason_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SD_BATCH_TABLE", "")
    response = get("batches")
    assert (response["statusCode"], "SD_BATCH_TABLE" in response["body"]) == (500, False)
    assert "SD_BATCH_TABLE is missing" in capsys.readouterr().out


def test_every_mistake_of_the_environment_is_told() -> None:
    assert Config.from_env(ENV) == CONFIG
    with pytest.raises(ConfigError) as caught:
        Config.from_env({**ENV, "SD_BATCH_RESULT_DAYS": "0", "SD_FLEET_PREFIX": "fleets"})
    assert [problem.split("=")[0] for problem in caught.value.problems] == [
        "SD_FLEET_PREFIX",
        "SD_BATCH_RESULT_DAYS",
    ]
