"""Streamlit's sign-in, set up from a Cognito user pool: its one client, which was made with the
address that the app answers at."""

from __future__ import annotations

import hashlib
import hmac
import json
import tempfile
from pathlib import Path
from typing import Any

SECRETS = Path(tempfile.gettempdir()) / "generator-app" / "secrets.toml"
"""Where `streamlit run --secrets.files` looks; of this container alone."""


class NoSignIn(Exception):
    """The message says why there is none yet; it isn't a visitor's to read."""


def set_up(pool: str, path: Path = SECRETS, cognito: Any = None) -> None:
    """Writes Streamlit's secrets. NoSignIn where the pool can't be asked, or has no client: that
    comes after the app's first start. `cognito` is boto3's client of cognito-idp."""
    # Only where there is a pool to ask: the app on its owner's machine needs none of this.
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    # A pool's id begins with its region.
    cognito = cognito or boto3.client("cognito-idp", region_name=pool.split("_")[0])
    try:
        listed = cognito.list_user_pool_clients(UserPoolId=pool, MaxResults=1)["UserPoolClients"]
        if not listed:
            raise NoSignIn(f"the user pool {pool} has no client yet")
        client = cognito.describe_user_pool_client(UserPoolId=pool, ClientId=listed[0]["ClientId"])
    except (BotoCoreError, ClientError) as error:
        raise NoSignIn(f"the user pool {pool} can't be asked: {error}") from error
    text = secrets_text(client["UserPoolClient"], f"{cognito.meta.endpoint_url}/{pool}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whole or not at all: another session's thread may be reading.
    whole = path.with_suffix(".new")
    whole.touch(mode=0o600)
    whole.write_text(text)
    whole.replace(path)


def secrets_text(client: dict[str, Any], issuer: str) -> str:
    """secrets.toml for a UserPoolClient as Cognito describes it. A cookie is signed with what only
    those know who know the client's secret, and is worthless with a new one."""
    secret = client["ClientSecret"]
    cookie = hmac.new(secret.encode(), b"cookies of the generator app", hashlib.sha256).hexdigest()
    values = {
        "redirect_uri": client["CallbackURLs"][0],
        "cookie_secret": cookie,
        "client_id": client["ClientId"],
        "client_secret": secret,
        "server_metadata_url": f"{issuer}/.well-known/openid-configuration",
    }
    # A JSON string is a TOML one.
    return "\n".join(["[auth]", *(f"{name} = {json.dumps(text)}" for name, text in values.items())])
