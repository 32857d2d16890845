"""What the app's API asks besides a key by setting: IAM's leave, or a user pool's token."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_cloud.child import ChildCloud
from tests.fakes.deployed_api import DeployedApi, refusal
from tests.fakes.local_account import allow, arn, client_of_user

PASSWORD = "Secret-123"  # noqa: S105


@pytest.fixture(scope="module")
def iam_api(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory) -> DeployedApi:
    context = {"sd.prefix": "iam", "sd.api.authorization": "iam"}
    return DeployedApi(cloud, tmp_path_factory.mktemp("iam"), **context)


def signed(api: DeployedApi, user: Any, **headers: str) -> httpx.Response:
    request = AWSRequest("GET", f"{api.url}/models", headers=headers)
    credentials = user._request_signer._credentials
    SigV4Auth(
        Credentials(credentials.access_key, credentials.secret_key), "execute-api", "us-east-1"
    ).add_auth(request)
    return api.send("GET", "/models", headers=dict(request.headers))


def test_with_iam_a_signed_request_needs_a_key_and_leave(
    cloud: ChildCloud, iam_api: DeployedApi
) -> None:
    api_id = iam_api.url.split("/")[-2]
    may = allow("execute-api:Invoke", arn("execute-api", f"{api_id}/v1/*"))
    caller = client_of_user(cloud, "signing-caller", "sts", may)
    stranger = client_of_user(cloud, "stranger", "sts")
    key = {"x-api-key": iam_api.key}

    assert signed(iam_api, caller, **key).status_code == 200
    assert refusal(signed(iam_api, caller), 401)["code"] == "invalid_api_key"
    assert refusal(signed(iam_api, stranger, **key), 403)["code"] == "access_denied"
    assert refusal(iam_api.send("GET", "/models", headers=key), 401)["code"] == "invalid_token"
    unknown = iam_api.send("GET", "/nothing", headers=key)
    assert refusal(unknown, 401)["code"] == "invalid_token"


def test_with_cognito_a_token_of_the_pool_needs_a_key(
    cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cognito = cloud.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="people")["UserPool"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool["Id"], ClientName="app", ExplicitAuthFlows=["ADMIN_NO_SRP_AUTH"]
    )["UserPoolClient"]["ClientId"]
    cognito.admin_create_user(UserPoolId=pool["Id"], Username="ann")
    cognito.admin_set_user_password(
        UserPoolId=pool["Id"], Username="ann", Password=PASSWORD, Permanent=True
    )
    token = cognito.admin_initiate_auth(
        UserPoolId=pool["Id"],
        ClientId=client,
        AuthFlow="ADMIN_NO_SRP_AUTH",
        AuthParameters={"USERNAME": "ann", "PASSWORD": PASSWORD},
    )["AuthenticationResult"]["IdToken"]
    context = {
        "sd.prefix": "pool",
        "sd.api.authorization": "cognito",
        "sd.api.cognito_user_pool": pool["Arn"],
    }
    api = DeployedApi(cloud, tmp_path_factory.mktemp("pool"), **context)
    bearer, key = {"Authorization": f"Bearer {token}"}, {"x-api-key": api.key}

    assert api.send("GET", "/models", headers={**bearer, **key}).status_code == 200
    assert refusal(api.send("GET", "/models", headers=bearer), 401)["code"] == "invalid_api_key"
    assert refusal(api.send("GET", "/models", headers=key), 401)["code"] == "invalid_token"
    wrong = {"Authorization": "Bearer no.token.atall", **key}
    assert refusal(api.send("GET", "/models", headers=wrong), 401)["code"] == "invalid_token"
