"""The weights' import: what is taken, that it arrives whole, and what is said when it can't."""

import hashlib
import io
import json
import urllib.error
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from botocore.exceptions import ClientError

from stacks.builds.hub import Hub, HubError
from stacks.builds.import_weights import Folder, Source, import_weights, source_from
from stacks.builds.pipeline_files import INDEX, NotAPipeline
from stacks.builds.upload import Store, TransferError
from tests.unit.builds_fakes import BESIDES, NEEDED

COMMIT = "4e63672c03103b6c636b8fb4119ba982469b2955"
ENV = {
    "SD_KEY": "k" * 64,
    "SD_MODEL_ID": "owner/model",
    "SD_REVISION": COMMIT,
    "SD_LICENSE": "openrail++",
}


class FakeHub:
    """The hub's API over a dictionary of files; `break_off` and `damage` each happen once."""

    url = "https://hub.test"

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.commit = COMMIT
        self.status = 200
        self.asked: list[str] = []
        self.damage: set[str] = set()
        self.break_off: set[str] = set()
        self.always_damaged = ""

    def __call__(self, url: str) -> BinaryIO:
        self.asked.append(url)
        if self.status != 200:
            raise urllib.error.HTTPError(url, self.status, "", Message(), io.BytesIO(b"no"))
        if url == f"{self.url}/api/models/owner/model/revision/{COMMIT}?blobs=true":
            siblings = [self._sibling(path, data) for path, data in self.files.items()]
            return io.BytesIO(json.dumps({"sha": self.commit, "siblings": siblings}).encode())
        path = url.removeprefix(f"{self.url}/owner/model/resolve/{COMMIT}/")
        data = self.files[path]
        if path in self.damage or path == self.always_damaged:
            self.damage.discard(path)
            data = b"?" + data[1:]
        if path in self.break_off:
            self.break_off.remove(path)
            data = data[: len(data) // 2]
        return io.BytesIO(data)

    @staticmethod
    def _sibling(path: str, data: bytes) -> dict[str, Any]:
        git = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        entry: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": git}
        if path.endswith((".safetensors", ".bin", ".ckpt")):
            sha256 = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        return entry


class FakeS3:
    """Like boto3's: an upload whose file fails to be read leaves no object."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.order: list[str] = []

    def list_objects_v2(self, Bucket: str, Prefix: str) -> dict[str, Any]:
        assert Bucket == "models"
        found = [
            {"Key": key, "Size": len(data)}
            for key, (data, _) in sorted(self.objects.items())
            if key.startswith(Prefix)
        ]
        return {"Contents": found} if found else {}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        assert Bucket == "models"
        if Key not in self.objects:  # as to a role that may list below a prefix only
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")
        return {"Metadata": self.objects[Key][1]}

    def upload_fileobj(
        self, body: BinaryIO, bucket: str, key: str, ExtraArgs: dict[str, dict[str, str]]
    ) -> None:
        assert bucket == "models"
        pieces = []
        while piece := body.read(1024):
            pieces.append(piece)
        self.objects[key] = (b"".join(pieces), ExtraArgs["Metadata"])
        self.order.append(key)

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        assert (Bucket, ContentType) == ("models", "application/json")
        self.objects[Key] = (Body, {})
        self.order.append(Key)


class Import:
    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.hub, self.s3 = FakeHub(files), FakeS3()
        self.said: list[str] = []

    def run(self, source: Source | None = None) -> dict[str, Any]:
        """The manifest."""
        store = Store(self.s3, "models", "weights/k/", self.said.append, lambda _: None)
        env = {**ENV, "SD_SOURCE": self.hub.url}
        import_weights(env, source or source_from(env, self.hub), store)
        manifest: dict[str, Any] = json.loads(self.s3.objects["weights/k/manifest.json"][0])
        return manifest

    @property
    def stored(self) -> dict[str, bytes]:
        found = {key.removeprefix("weights/k/"): data for key, (data, _) in self.s3.objects.items()}
        found.pop("manifest.json", None)
        return found


@pytest.fixture
def job() -> Import:
    return Import({**NEEDED, **BESIDES})


def test_it_takes_what_a_pipeline_needs_and_nothing_else(job: Import) -> None:
    job.run()
    assert job.stored == NEEDED


def test_the_manifest_comes_last_and_lists_every_file_with_its_digest(job: Import) -> None:
    manifest = job.run()
    assert job.s3.order[-1] == "weights/k/manifest.json"
    assert manifest == {
        "key": "k" * 64,
        "kind": "weights",
        "model_id": "owner/model",
        "revision": COMMIT,
        "license": "openrail++",
        "files": {
            path: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in NEEDED.items()
        },
    }


def test_an_interrupted_import_goes_on_where_it_ended(job: Import) -> None:
    job.run()
    del job.s3.objects["weights/k/manifest.json"]
    del job.s3.objects["weights/k/vae/config.json"]
    job.hub.asked.clear()
    manifest = job.run()
    fetched = [url.split(COMMIT + "/")[1] for url in job.hub.asked if "/resolve/" in url]
    assert fetched == [INDEX, "vae/config.json"]  # the index is read to know what to take
    assert len(manifest["files"]) == len(NEEDED)


def test_an_object_that_came_from_another_file_is_not_taken_for_this_one(job: Import) -> None:
    job.run()
    job.hub.files["unet/diffusion_pytorch_model.safetensors"] = b"ten" + b"u" * 3997
    job.run()
    assert job.stored == {k: job.hub.files[k] for k in NEEDED}


@pytest.mark.parametrize("path", ["unet/diffusion_pytorch_model.safetensors", "vae/config.json"])
@pytest.mark.parametrize("how", ["damage", "break_off"])
def test_a_file_that_comes_damaged_is_fetched_again(job: Import, path: str, how: str) -> None:
    getattr(job.hub, how).add(path)
    job.run()
    assert job.stored == NEEDED
    assert any("damaged" in line for line in job.said)


def test_a_file_that_stays_damaged_is_never_stored_and_leaves_no_manifest(job: Import) -> None:
    path = "unet/diffusion_pytorch_model.safetensors"
    job.hub.always_damaged = path
    with pytest.raises(TransferError, match=r"unet/diffusion.*3 times.*damaged"):
        job.run()
    assert path not in job.stored
    assert "weights/k/manifest.json" not in job.s3.objects


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_model_that_was_taken_down_is_said_to_be(job: Import, status: int) -> None:
    job.hub.status = status
    with pytest.raises(HubError, match=r"sd\.model\.id"):
        job.run()


def test_a_hub_out_of_order_is_said_to_be(job: Import) -> None:
    job.hub.status = 500
    with pytest.raises(HubError, match="try again"):
        job.run()


def test_a_hub_out_of_reach_is_said_to_be() -> None:
    def transport(url: str) -> BinaryIO:
        raise urllib.error.URLError(f"no route to {url}")

    with pytest.raises(HubError, match="can't be reached"):
        Hub("https://hub.test", "owner/model", COMMIT, transport).files()


def test_another_commit_than_asked_for_is_refused(job: Import) -> None:
    job.hub.commit = "f" * 40
    with pytest.raises(HubError, match="answered for"):
        job.run()


def test_a_local_folder_makes_the_same_artifact(job: Import, tmp_path: Path) -> None:
    for path, data in {**NEEDED, **BESIDES}.items():
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
    from_folder = Import({}).run(Folder(tmp_path))
    assert from_folder["files"] == job.run()["files"]


def test_without_an_index_it_is_no_pipeline() -> None:
    with pytest.raises(NotAPipeline, match=r"model_index\.json"):
        Import({"unet/config.json": b"{}"}).run()
