"""The gallery through every service that it needs, each function under its own role: the
templates' stacks, with a toy for a variant."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from local_cloud.child import ChildCloud
from sd_contract.gallery import index_name
from sd_contract.invocation import STAGES, Answer
from stacks.components.weights import weights_key
from tests.fakes.deployed_api import DeployedApi, refusal
from tests.fakes.front_door import PNG, registration
from tests.fakes.local_account import wait_for
from tests.fakes.toy_endpoint import ToyEndpoint

PREFIX, SEED = "gal", 7
DIMENSIONS = 64
ABOUT = {"images_in_batch": 1, "prompt_tokens": 5, "negative_prompt_tokens": 2}
VECTOR = base64.b64encode(struct.pack(f"<{DIMENSIONS}f", 1, *[0] * (DIMENSIONS - 1))).decode()
# A picture's and a text's in one: each reads its own.
ANSWER = {
    **json.loads(Answer((PNG,), (SEED,), dict.fromkeys(STAGES, 1.0), ABOUT).to_json()),
    "vectors": [VECTOR],
    "prompt_tokens": 5,
}


class DeployedGallery(DeployedApi):
    """The API; the gallery once it is deployed."""

    outputs_of_gallery: Mapping[str, str]

    def deploy(self) -> None:
        (stack,) = (name for name in self.app.templates if name.endswith("GalleryStack"))
        assert self.app.dependencies[stack] == {self.stack}
        self.publish(stack)
        self.outputs_of_gallery = self._create(stack)

    def call(self, method: str, path: str, **request: Any) -> Any:
        answer = self.send(method, path, headers={"x-api-key": self.key}, **request)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def keep(self, prompt: str) -> str:
        body = {"prompt": prompt, "seed": SEED, "store": True}
        drawn = self.call("POST", "/images/generations", json=body)
        return str(drawn["data"][0]["id"])

    def found(self) -> set[str]:
        return {each["id"] for each in self.call("GET", "/similar?prompt=x")["data"]}

    @property
    def index(self) -> str:
        model = self.app.settings.models["sd21-base"]
        return index_name(model.id, weights_key(model))

    def vectors(self) -> set[str]:
        place = {"vectorBucketName": self.outputs_of_gallery["VectorBucket"]}
        listed = self.cloud.client("s3vectors").list_vectors(**place, indexName=self.index)
        return {each["key"] for each in listed["vectors"]}

    def files(self) -> set[str]:
        s3 = self.cloud.client("s3")
        listed = s3.list_objects_v2(Bucket=self.outputs_of_gallery["GalleryBucket"])
        return {each["Key"].removesuffix(".png") for each in listed.get("Contents", ())}


@pytest.fixture(scope="module")
def gallery(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory) -> DeployedGallery:
    context = {"sd.prefix": PREFIX, "profile": "local"}
    deployed = DeployedGallery(cloud, tmp_path_factory.mktemp("gallery"), **context)
    ToyEndpoint(cloud, f"{PREFIX}-g5").create(Environment={"ANSWER": json.dumps(ANSWER)})
    model = deployed.app.settings.models["sd21-base"]
    document = registration(
        "g5", endpoint_name=f"{PREFIX}-g5", model_id=model.id, revision=weights_key(model)
    )
    cloud.client("ssm").put_parameter(
        Name=f"/{PREFIX}/variants/g5", Value=json.dumps(document), Type="String"
    )
    return deployed


def test_from_an_api_without_a_gallery_to_one_that_forgets(gallery: DeployedGallery) -> None:
    key = {"x-api-key": gallery.key}
    for path in ("/pictures", "/pictures/pic_1", "/similar?prompt=x"):
        missing = refusal(gallery.send("GET", path, headers=key), 404)
        assert missing["code"] == "gallery_not_deployed"
    body = {"prompt": "a red fox", "store": True, "seed": SEED}
    drawn = gallery.call("POST", "/images/generations", json=body)
    assert "GalleryStack" in drawn["warnings"][0]

    gallery.deploy()
    first, second, third = (gallery.keep(prompt) for prompt in ("one", "two", "three"))
    wait_for(lambda: gallery.found() == {first, second, third})
    picture = gallery.call("GET", f"/pictures/{first}")
    assert (picture["prompt"], picture["seed"]) == ("one", SEED)
    got = httpx.get(picture["url"])
    assert (got.status_code, got.content) == (200, PNG)
    near = gallery.call("GET", f"/similar?picture={first}&model=g5&size=512x512&limit=1")["data"]
    assert near[0]["id"] in {second, third}
    assert near[0]["distance"] == pytest.approx(0, abs=1e-5)
    listed = gallery.call("GET", "/pictures?limit=2")
    assert [each["id"] for each in listed["data"]] == [third, second]

    # Its caller deletes one, the table another, as it does with what is over.
    assert gallery.call("DELETE", f"/pictures/{first}")["deleted"]
    assert gallery.vectors() == gallery.files() == {second, third}
    refusal(gallery.send("GET", f"/pictures/{first}", headers=key), 404)
    gallery.cloud.client("dynamodb").delete_item(
        TableName=gallery.outputs_of_gallery["GalleryTable"],
        Key={"pk": {"S": "picture"}, "sk": {"S": second}},
    )
    wait_for(lambda: gallery.vectors() == gallery.files() == {third})
