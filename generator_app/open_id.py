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


def set_up(pool: str, cognito: Any, path: Path = SECRETS) -> bool:
    """Writes Streamlit's secrets, for a boto3 client of Cognito's (cognito-idp); False while the
    pool has no client, which comes after the app's first start. botocore's errors pass."""
    listed = cognito.list_user_pool_clients(UserPoolId=pool, MaxResults=1)["UserPoolClients"]
    if not listed:
        return False
    client = cognito.describe_user_pool_client(UserPoolId=pool, ClientId=listed[0]["ClientId"])
    text = secrets_text(client["UserPoolClient"], f"{cognito.meta.endpoint_url}/{pool}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whole or not at all: another session's thread may be reading.
    whole = path.with_suffix(".new")
    whole.touch(mode=0o600)
    whole.write_text(text)
    whole.replace(path)
    return True


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


def cognito_of(pool: str) -> Any:
    """A boto3 client; a pool's id begins with its region."""
    import boto3

    return boto3.client("cognito-idp", region_name=pool.split("_")[0])
