"""Signing as it is deployed: the layer, the roles, KMS's own signatures."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import c2pa
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from PIL import Image

from local_cloud.child import ChildCloud
from sd_contract.invocation import STAGES, Answer
from sd_contract.signing import Passage, SigningRequest, read_pictures
from stacks.build_scripts.build_layer import pack
from tests.fakes.content_credentials import Authority, new_key, verify
from tests.fakes.deployed_api import DeployedApi, refusal
from tests.fakes.front_door import registration
from tests.fakes.local_account import log_lines
from tests.fakes.toy_endpoint import ToyEndpoint
from tests.infrastructure.support import variables
from tests.unit.local_cloud.test_front_door_role import Role

PREFIX = "signs"


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """As the build makes it, of this machine's own c2pa-python."""
    folder = tmp_path_factory.mktemp("layer")
    shutil.copytree(Path(c2pa.__file__).parent, folder / "packages" / "c2pa")
    pack(folder / "packages", folder / "layer.zip")
    return (folder / "layer.zip").read_bytes()


class FunctionFailed(Exception):
    """With what Lambda passes on."""


class SigningApi(DeployedApi):
    """With a key of KMS, its certificate, and the layer where its build would have put it."""

    def __init__(
        self, cloud: ChildCloud, folder: Path, layer: bytes, prefix: str, *, fits: bool = True
    ) -> None:
        """Where it doesn't fit, the certificate is of another key."""
        self.layer = layer
        self.authority = Authority()
        self.kms = cloud.client("kms")
        made = self.kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        self.signing_key: str = made["KeyMetadata"]["Arn"]
        public = load_der_public_key(self.kms.get_public_key(KeyId=self.signing_key)["PublicKey"])
        assert isinstance(public, ec.EllipticCurvePublicKey)
        chain = folder / "chain.pem"
        chain.write_text(self.authority.chain(public if fits else new_key().public_key()))
        context = {
            "sd.prefix": prefix,
            "sd.api.c2pa.signing_key": self.signing_key,
            "sd.api.c2pa.certificate_chain": str(chain),
        }
        super().__init__(cloud, folder / "out", **context)

    def prepare(self, outputs: Mapping[str, str]) -> None:
        if "ModelBucket" not in outputs:
            return
        project = self.app.only(self.stack, "AWS::CodeBuild::Project")
        self.cloud.client("s3").put_object(
            Bucket=outputs["ModelBucket"], Key=variables(project)["SD_LAYER"], Body=self.layer
        )

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """What the signing function answers. Raises FunctionFailed."""
        response = self.cloud.client("lambda").invoke(
            FunctionName=self.function("content_credentials"), Payload=json.dumps(event)
        )
        answer: dict[str, Any] = json.loads(response["Payload"].read())
        if "FunctionError" in response:
            raise FunctionFailed(str(answer))
        return answer


@pytest.fixture(scope="module")
def api(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory, layer: bytes) -> SigningApi:
    """With a variant whose container always draws the same."""
    # First: the API's stack makes the container's log group.
    deployed = SigningApi(cloud, tmp_path_factory.mktemp(PREFIX), layer, PREFIX)
    answer = Answer(
        images=(drawn(),),
        seeds=(7,),
        timings_ms=dict.fromkeys(STAGES, 1.0),
        engine={"images_in_batch": 1, "prompt_tokens": 5, "negative_prompt_tokens": 2},
    )
    endpoint = ToyEndpoint(cloud, f"{PREFIX}-g5")
    endpoint.create(Environment={"ANSWER": answer.to_json().decode()})
    cloud.client("ssm").put_parameter(
        Name=f"/{PREFIX}/variants/g5",
        Value=json.dumps(registration("g5", endpoint_name=f"{PREFIX}-g5")),
        Type="String",
    )
    return deployed


def drawn() -> bytes:
    """Small enough for a container's environment."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    return out.getvalue()


def passage(api: SigningApi) -> Passage:
    return Passage(lambda: api.cloud.client("s3"), api.outputs["ImageBucket"])


def signed(api: SigningApi, *pictures: bytes, inline: bool = True) -> tuple[bytes, ...]:
    """By the event, or by the one folder of the bucket that the function may use. Raises
    FunctionFailed."""
    request = SigningRequest(pictures, "image/png", "a/model")
    event = passage(api).pack(request.document(), "signing/r.json", inline=inline)
    return read_pictures(passage(api).unpack(api.invoke(event)))


def trusted(api: SigningApi, picture: bytes) -> bool:
    return verify(picture, "image/png", api.authority.anchor).state == "Trusted"


@pytest.mark.parametrize("inline", [True, False])
def test_kms_signs_what_the_function_is_sent(api: SigningApi, inline: bool) -> None:
    pictures = signed(api, drawn(), drawn(), inline=inline)
    assert [trusted(api, picture) for picture in pictures] == [True, True]


def test_it_reads_nothing_else_of_the_bucket(api: SigningApi) -> None:
    request = SigningRequest((drawn(),), "image/png", "a/model")
    event = passage(api).pack(request.document(), "2026-11-25/r/7.json", inline=False)
    with pytest.raises(FunctionFailed, match="AccessDenied"):
        api.invoke(event)


@pytest.mark.parametrize(
    ("action", "inline"),
    [("kms:Sign", True), ("s3:GetObject", False), ("s3:PutObject", False)],
)
def test_each_thing_that_its_role_may_do_is_needed(
    api: SigningApi, action: str, inline: bool
) -> None:
    role = Role(api, "content_credentials")
    actions = {name for _, name in role.actions()}
    assert actions == {
        "kms:Sign",
        "s3:GetObject",
        "s3:PutObject",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }
    with role.without("Allow", action), pytest.raises(FunctionFailed, match="AccessDenied"):
        signed(api, drawn(), inline=inline)
    assert trusted(api, *signed(api, drawn(), inline=inline))


def asked(api: SigningApi, path: str, **fields: Any) -> httpx.Response:
    body = {"prompt": "a red fox", "seed": 7, **fields}
    return api.send("POST", path, json=body, headers={"x-api-key": api.key})


def answered(response: httpx.Response) -> bytes:
    """The picture."""
    assert response.status_code == 200, response.text
    (data,) = response.json()["data"]
    return httpx.get(data["url"]).content if "url" in data else base64.b64decode(data["b64_json"])


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
def test_what_the_api_answers_is_signed(api: SigningApi, response_format: str) -> None:
    response = asked(api, "/images/generations", response_format=response_format)
    found = verify(answered(response), "image/png", api.authority.anchor)
    assert found.state == "Trusted"
    (action,) = found.actions
    assert action["softwareAgent"]["name"] == registration("g5")["model_id"]


def test_an_edit_of_a_picture_made_here_tells_both(api: SigningApi) -> None:
    url = asked(api, "/images/generations").json()["data"][0]["url"]
    found = verify(
        answered(asked(api, "/images/edits", image=url)), "image/png", api.authority.anchor
    )
    assert found.state == "Trusted"
    assert [action["action"] for action in found.actions] == ["c2pa.opened", "c2pa.edited"]
    assert len(found.document["manifests"]) == 2


@pytest.mark.parametrize(
    ("package", "action"),
    [("front_door", "lambda:InvokeFunction"), ("content_credentials", "kms:Sign")],
)
def test_a_picture_that_cannot_be_signed_is_not_given_out(
    api: SigningApi, package: str, action: str
) -> None:
    s3, bucket = api.cloud.client("s3"), api.outputs["ImageBucket"]
    there = s3.list_objects_v2(Bucket=bucket)["KeyCount"]
    with Role(api, package).without("Allow", action):
        response = asked(api, "/images/generations")
    assert refusal(response, 500)["code"] == "internal_error"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == there
    groups = api.cloud.client("logs").describe_log_groups()["logGroups"]
    (group,) = (each["logGroupName"] for each in groups if f"{api.stack}/FrontDoor" in str(each))
    (line,) = (
        line
        for line in log_lines(api.cloud, group)
        if response.headers["x-request-id"] in line and line.startswith("{")
    )
    told = json.loads(line)
    assert (told["error"], "AccessDenied" in told["detail"]) == ("SigningError", True)


def test_a_deploy_whose_certificate_is_of_another_key_fails(
    cloud: ChildCloud, tmp_path: Path, layer: bytes
) -> None:
    with pytest.raises(AssertionError, match=r"certificate_chain: .* does not match"):
        SigningApi(cloud, tmp_path, layer, "unfit", fits=False)
