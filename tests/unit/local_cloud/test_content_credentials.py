"""Signing as it is deployed: the layer, the roles, KMS's own signatures."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import c2pa
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from PIL import Image

from local_cloud.child import ChildCloud
from sd_contract.signing import Passage, SigningRequest, read_pictures
from stacks.build_scripts.build_layer import pack
from tests.fakes.content_credentials import Authority, new_key, verify
from tests.fakes.deployed_api import DeployedApi
from tests.infrastructure.support import variables

PREFIX = "signs"


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """As the build makes it, of this machine's own c2pa-python."""
    folder = tmp_path_factory.mktemp("layer")
    shutil.copytree(Path(c2pa.__file__).parent, folder / "packages" / "c2pa")
    pack(folder / "packages", folder / "layer.zip")
    return (folder / "layer.zip").read_bytes()


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
        project = self.app.only(self.stack, "AWS::CodeBuild::Project")
        self.cloud.client("s3").put_object(
            Bucket=outputs["ModelBucket"], Key=variables(project)["SD_LAYER"], Body=self.layer
        )

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """What the signing function answers."""
        response = self.cloud.client("lambda").invoke(
            FunctionName=self.function("content_credentials"), Payload=json.dumps(event)
        )
        answer: dict[str, Any] = json.loads(response["Payload"].read())
        return {"FunctionError": answer} if "FunctionError" in response else answer


@pytest.fixture(scope="module")
def api(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory, layer: bytes) -> SigningApi:
    return SigningApi(cloud, tmp_path_factory.mktemp(PREFIX), layer, PREFIX)


def drawn(side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 100).save(out, "PNG")
    return out.getvalue()


def passage(api: SigningApi) -> Passage:
    return Passage(lambda: api.cloud.client("s3"), api.outputs["ImageBucket"])


@pytest.mark.parametrize("inline", [True, False])
def test_kms_signs_what_the_function_is_sent(api: SigningApi, inline: bool) -> None:
    """By the event, and by the one folder of the bucket that it may use."""
    request = SigningRequest((drawn(), drawn()), "image/png", "a/model")
    event = passage(api).pack(request.document(), "signing/r.json", inline=inline)
    signed = read_pictures(passage(api).unpack(api.invoke(event)))
    assert len(signed) == 2
    for picture in signed:
        assert verify(picture, "image/png", api.authority.anchor).state == "Trusted"


def test_it_reads_nothing_else_of_the_bucket(api: SigningApi) -> None:
    request = SigningRequest((drawn(),), "image/png", "a/model")
    event = passage(api).pack(request.document(), "2026-11-25/r/7.json", inline=False)
    assert "AccessDenied" in str(api.invoke(event)["FunctionError"])


def test_a_deploy_whose_certificate_is_of_another_key_fails(
    cloud: ChildCloud, tmp_path: Path, layer: bytes
) -> None:
    with pytest.raises(AssertionError, match=r"certificate_chain: .* does not match"):
        SigningApi(cloud, tmp_path, layer, "unfit", fits=False)
