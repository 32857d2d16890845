"""SdAppStack on the local cloud: the same template, its image's command as a process, Cognito's own
sign-in through Streamlit's."""

from __future__ import annotations

import re
import ssl
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError

from local_cloud import aws
from local_cloud.child import ChildCloud
from local_cloud.ministack.identity import RoleSession
from tests.fakes.deployed_api import DeployedApi
from tests.fakes.streamlit_page import visited

STACK = "PageAppStack"
MAIL, PASSWORD = "who@example.com", "Correct-horse-7-battery"
LOGIN, PAGES = "Sign in to draw pictures.", "Gallery"


class App(DeployedApi):
    """With the generator app's stack."""

    def __init__(self, cloud: ChildCloud, folder: Path, **context: str) -> None:
        super().__init__(cloud, folder, **context)
        self._create(STACK.replace("App", "Storage"))
        self.publish(STACK)
        made = self._create(STACK)
        self.page, self.pool = made["AppUrl"], made["UserPool"]
        self.trust = ssl.create_default_context(cafile=self.cloud.state / "express.pem")

    def http(self) -> httpx.Client:
        """What a browser without JavaScript is. It trusts this cloud's certificate."""
        return httpx.Client(verify=self.trust, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def app(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory) -> App:
    deployed = App(cloud, tmp_path_factory.mktemp("page"), **{"sd.prefix": "page"})
    cognito = cloud.client("cognito-idp")
    cognito.admin_create_user(
        UserPoolId=deployed.pool,
        Username=MAIL,
        UserAttributes=[{"Name": "email", "Value": MAIL}],
        MessageAction="SUPPRESS",
    )
    cognito.admin_set_user_password(
        UserPoolId=deployed.pool, Username=MAIL, Password=PASSWORD, Permanent=True
    )
    return deployed


def signed_in(app: App, password: str) -> str:
    """The cookies of a browser that has clicked "Sign in" and filled in Cognito's form; empty where
    Cognito shows the form again."""
    with visited(app.page, app.trust) as page:
        page.run(clicked=page.button("Sign in"))
        login = page.redirect()
    with app.http() as browser:
        asked = browser.get(f"{app.page}{login}")
        assert asked.status_code == 302, asked.text
        authorize = urlparse(asked.headers["location"])
        assert authorize.path == "/oauth2/authorize"
        (back,) = parse_qs(authorize.query)["redirect_uri"]
        assert back == f"{app.page}/oauth2callback"
        form = browser.get(asked.headers["location"])
        hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.text)
        fields = {name: unescape(value) for name, value in hidden}
        sent = browser.post(
            f"{app.cloud.settings.url}/login",
            data={**fields, "username": MAIL, "password": password},
        )
        if sent.status_code == 200:
            return ""
        assert sent.headers["location"].startswith(back), sent.text
        returned = browser.get(sent.headers["location"])
        assert returned.status_code == 302, returned.text
        assert "_streamlit_user" in browser.cookies
        return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def test_without_sign_in_nothing_but_the_login_is_served(app: App) -> None:
    with visited(app.page, app.trust) as page:
        assert LOGIN in page.text
        assert PAGES not in page.text
    # Nor for who brings a cookie of their own making.
    with visited(
        app.page, app.trust, cookies="_streamlit_user=eyJpc19sb2dnZWRfaW4iOnRydWV9"
    ) as page:
        assert LOGIN in page.text
        assert PAGES not in page.text


def test_a_user_of_the_pool_signs_in_and_sees_the_pages(app: App) -> None:
    with visited(app.page, app.trust, cookies=signed_in(app, PASSWORD)) as page:
        assert LOGIN not in page.text
        assert PAGES in page.text


def test_files_are_taken_from_and_given_to_who_is_signed_in_alone(app: App) -> None:
    user = {"Cookie": signed_in(app, PASSWORD)}
    # What Streamlit says of an address that it doesn't know: its shell, or 404.
    with app.http() as browser:
        for path in ("/media/0123.png", "/_stcore/upload_file/a-session/a-file"):
            assert browser.get(f"{app.page}{path}").status_code == 403
            assert browser.put(f"{app.page}{path}", content=b"x").status_code == 403
            forged = {"Cookie": "_streamlit_user=eyJpc19sb2dnZWRfaW4iOnRydWV9"}
            assert browser.get(f"{app.page}{path}", headers=forged).status_code == 403
            assert browser.get(f"{app.page}{path}", headers=user).status_code in (200, 404)


def test_a_wrong_password_lets_nobody_in(app: App) -> None:
    assert signed_in(app, "Wrong-horse-7-battery") == ""


def test_the_shell_and_the_health_check_are_open_and_plain_http_is_not(app: App) -> None:
    with app.http() as browser:
        assert browser.get(f"{app.page}/_stcore/health").text == "ok"
        assert "<noscript>" in browser.get(app.page).text
        with pytest.raises(httpx.HTTPError):
            browser.get(app.page.replace("https", "http", 1))


def test_the_apps_key_is_its_own_and_works(app: App) -> None:
    listed = app.cloud.client("secretsmanager").list_secrets()["SecretList"]
    (secret,) = (each for each in listed if each["Name"].startswith(f"{STACK}-"))
    value = app.cloud.client("secretsmanager").get_secret_value(SecretId=secret["ARN"])
    key = value["SecretString"]
    assert re.fullmatch(r"[A-Za-z0-9]{40}", key)
    assert key != app.key
    assert app.send("GET", "/models", headers={"x-api-key": key}).status_code == 200
    assert app.send("GET", "/models", headers={"x-api-key": key[:-1]}).status_code == 401


@pytest.mark.parametrize(
    ("service", "operation", "request_"),
    [
        ("secretsmanager", "list_secrets", {}),
        ("ssm", "get_parameters_by_path", {"Path": "/page/variants"}),
        ("sagemaker", "list_endpoints", {}),
        ("s3", "list_buckets", {}),
        ("cognito-idp", "list_user_pools", {"MaxResults": 1}),
        ("cognito-idp", "list_users", {"UserPoolId": "POOL"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_app_may_look_up_its_sign_in_and_nothing_else(
    service: str, operation: str, request_: dict[str, Any], app: App
) -> None:
    role = task_role(app)
    pool: Any = aws.client(app.cloud.settings, "cognito-idp", role)
    (client,) = pool.list_user_pool_clients(UserPoolId=app.pool, MaxResults=2)["UserPoolClients"]
    assert client["UserPoolId"] == app.pool
    asked = {name: app.pool if value == "POOL" else value for name, value in request_.items()}
    with pytest.raises(ClientError, match=r"not authorized|AccessDenied"):
        getattr(aws.client(app.cloud.settings, service, role), operation)(**asked)


def task_role(app: App) -> RoleSession:
    """What the running task has."""
    (environment,) = (
        told
        for note in app.cloud.settings.groups.iterdir()
        if psutil.pid_exists(int(note.name))
        for told in [psutil.Process(int(note.name)).environ()]
        if told.get("SD_APP_OIDC_USER_POOL") == app.pool
    )
    names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
    return RoleSession("the task's", *(environment[f"AWS_{name}"] for name in names))
