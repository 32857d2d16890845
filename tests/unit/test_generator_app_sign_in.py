"""How the generator app's container gets its sign-in, and who may enter."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from generator_app.open_id import NoSignIn, secrets_text, set_up
from generator_app.serve import main
from generator_app.sign_in import USER_POOL, may_enter

POOL = "eu-west-1_AbCdEfGhI"
CLIENT = {
    "ClientId": "the-client",
    "ClientSecret": 'a "secret" \\ of bytes',
    "CallbackURLs": ["https://sd-0123.ecs.eu-west-1.on.aws/oauth2callback"],
}


class Cognito:
    """As boto3's, with a pool that has `clients`."""

    def __init__(self, *clients: dict[str, Any]) -> None:
        self._clients = {each["ClientId"]: each for each in clients}
        self.meta = SimpleNamespace(endpoint_url="https://cognito-idp.eu-west-1.amazonaws.com")

    def list_user_pool_clients(self, *, UserPoolId: str, MaxResults: int) -> dict[str, Any]:
        assert UserPoolId == POOL
        listed = [{"ClientId": name} for name in self._clients]
        return {"UserPoolClients": listed[:MaxResults]}

    def describe_user_pool_client(self, *, UserPoolId: str, ClientId: str) -> dict[str, Any]:
        assert UserPoolId == POOL
        return {"UserPoolClient": self._clients[ClientId]}


def test_the_secrets_are_streamlits_and_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "own" / "secrets.toml"
    set_up(POOL, path, Cognito(CLIENT))
    auth = tomllib.loads(path.read_text())["auth"]
    cookie = auth.pop("cookie_secret")
    assert auth == {
        "redirect_uri": CLIENT["CallbackURLs"][0],
        "client_id": "the-client",
        "client_secret": CLIENT["ClientSecret"],
        "server_metadata_url": "https://cognito-idp.eu-west-1.amazonaws.com/"
        f"{POOL}/.well-known/openid-configuration",
    }
    assert len(cookie) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_new_client_secret_ends_every_cookie() -> None:
    def cookie(secret: str) -> str:
        text = secrets_text({**CLIENT, "ClientSecret": secret}, "https://x")
        return str(tomllib.loads(text)["auth"]["cookie_secret"])

    assert cookie("one") == cookie("one")
    assert cookie("one") != cookie("two")


def test_a_pool_without_a_client_leaves_no_secrets(tmp_path: Path) -> None:
    path = tmp_path / "secrets.toml"
    with pytest.raises(NoSignIn, match="no client yet"):
        set_up(POOL, path, Cognito())
    assert not path.exists()


@pytest.mark.parametrize(
    ("user", "enters"),
    [
        ({}, False),
        ({"is_logged_in": False}, False),
        ({"is_logged_in": True, "exp": 1001}, True),
        ({"is_logged_in": True, "exp": 1000}, False),
        # Without a time to ask again at, nobody would ever be asked.
        ({"is_logged_in": True}, False),
    ],
)
def test_who_may_enter(user: dict[str, Any], enters: bool) -> None:
    assert may_enter(user, now=1000) is enters


def test_a_container_without_a_user_pool_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(USER_POOL, raising=False)
    with pytest.raises(SystemExit, match=USER_POOL):
        main()
