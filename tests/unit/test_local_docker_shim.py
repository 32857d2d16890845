"""The `docker` that builds of the local cloud get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local_cloud import docker_shim
from local_cloud.container_command import NotRunnable, choose_command
from local_cloud.docker_shim import UsageError
from local_cloud.dockerfile import DockerfileError
from local_cloud.image_store import (
    MANIFEST_TYPE,
    OCI_INDEX_TYPE,
    OCI_MANIFEST_TYPE,
    ImageStore,
    digest_in,
)

BASE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0"
BASE_DIGEST = "sha256:" + "b" * 64
DOCKER_TYPES = ("--provenance=false", "--sbom=false", "--output=type=image,oci-mediatypes=false")
NAME = "000000000000.dkr.ecr.us-east-1.amazonaws.com/sd-g5:abc"
DOCKERFILE = r"""
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG FLAVOUR=plain
LABEL org.flavour="${FLAVOUR}" org.kind=toy
ENV PYTHONPATH=/opt/sd \
    # a comment between two lines
    HF_HUB_OFFLINE=1
WORKDIR /opt/sd
COPY serving serving
COPY requirements.txt notes/*.md ./
RUN pip install -r requirements.txt && \
    echo done
ENTRYPOINT ["python", "-m", "serving"]
CMD ["/opt/sd/notes.md", "--port=8080"]
"""


class FakeEcr:
    """As much of a boto3 ECR client as the shim calls."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        self.media_types: list[str] = []
        self.bases: dict[str, str] = {"imageTag": "2.6.0", "imageDigest": BASE_DIGEST}

    def batch_get_image(
        self, registryId: str, repositoryName: str, imageIds: list[dict[str, str]]
    ) -> dict[str, Any]:
        assert (registryId, repositoryName) == ("763104351884", "pytorch-inference")
        found = imageIds[0].items() <= self.bases.items()
        return {"images": [{"imageId": self.bases}] if found else []}

    def batch_check_layer_availability(self, **_: Any) -> dict[str, Any]:
        return {}

    def put_image(self, **request: Any) -> dict[str, Any]:
        name = f"{request['repositoryName']}:{request.get('imageTag')}"
        self.images[name] = request["imageManifest"]
        self.media_types.append(request["imageManifestMediaType"])
        return {"image": {"imageId": {"imageDigest": "sha256:" + "f" * 64}}}

    def get_authorization_token(self) -> dict[str, Any]:
        return {"authorizationData": [{"authorizationToken": "QVdTOnNlc2FtZQ=="}]}  # AWS:sesame


class Docker:
    def __init__(self, folder: Path) -> None:
        self.store, self.ecr, self.context = (
            ImageStore(folder / "images"),
            FakeEcr(),
            folder / "ctx",
        )
        for name, text in {
            "serving/__init__.py": "",
            "serving/__main__.py": "print('hello')",
            "requirements.txt": "numpy",
            "notes/notes.md": "# notes",
            "Dockerfile": DOCKERFILE,
        }.items():
            path = self.context / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def run(self, *words: str, password: str = "") -> str:
        return docker_shim.run(list(words), self.store, lambda: self.ecr, lambda: password)

    def build(self, *words: str) -> str:
        self.run(
            "build", "--build-arg", f"BASE_IMAGE={BASE}", "-t", NAME, *words, str(self.context)
        )
        digest = self.store.resolve(NAME)
        assert digest
        return digest


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    return Docker(tmp_path)


def test_a_build_lays_out_what_runs(docker: Docker) -> None:
    digest = docker.build("--build-arg=FLAVOUR=sweet")

    record, rootfs = docker.store.load(digest), docker.store.rootfs(digest)
    assert record.base_image == BASE
    assert record.environment == {"PYTHONPATH": "/opt/sd", "HF_HUB_OFFLINE": "1"}
    assert record.labels == {"org.flavour": "sweet", "org.kind": "toy"}
    assert record.entrypoint == ("python", "-m", "serving")
    assert record.run == ("pip install -r requirements.txt && echo done",)
    laid_out = {str(path.relative_to(rootfs)) for path in rootfs.rglob("*") if path.is_file()}
    assert laid_out == {
        "opt/sd/serving/__init__.py",
        "opt/sd/serving/__main__.py",
        "opt/sd/requirements.txt",
        "opt/sd/notes.md",
    }


def test_the_same_content_is_the_same_image(docker: Docker) -> None:
    first = docker.build()
    assert docker.build() == first

    (docker.context / "requirements.txt").write_text("scipy")
    assert docker.build() != first


def test_a_command_is_mapped_into_the_rootfs(docker: Docker) -> None:
    import sys

    digest = docker.build()
    root = docker.store.rootfs(digest)

    chosen = choose_command(docker.store, digest)

    assert chosen.command == (
        sys.executable,
        "-m",
        "serving",
        f"{root}/opt/sd/notes.md",
        "--port=8080",
    )
    assert chosen.environment["PYTHONPATH"] == f"{root}/opt/sd"
    assert chosen.folder == root / "opt/sd"


def test_an_entry_point_given_by_the_caller_replaces_entrypoint_and_cmd(docker: Docker) -> None:
    chosen = choose_command(
        docker.store, docker.build(), entrypoint=["python3", "-m"], arguments=["serving.train"]
    )

    assert chosen.command[1:] == ("-m", "serving.train")


def test_an_image_without_a_command_is_not_runnable(docker: Docker) -> None:
    (docker.context / "Dockerfile").write_text(f"FROM {BASE}\n")

    with pytest.raises(NotRunnable, match="no ENTRYPOINT"):
        choose_command(docker.store, docker.build())


def test_a_push_registers_a_manifest_that_leads_back_to_the_image(docker: Docker) -> None:
    digest = docker.build(*DOCKER_TYPES)

    docker.run("push", NAME)

    assert digest_in(docker.ecr.images["sd-g5:abc"]) == digest
    assert docker.ecr.media_types == [MANIFEST_TYPE]


@pytest.mark.parametrize(
    ("options", "pushed"),
    [
        ((), [OCI_MANIFEST_TYPE, OCI_INDEX_TYPE]),
        (("--provenance", "false"), [OCI_MANIFEST_TYPE]),
        (DOCKER_TYPES[:1], [OCI_MANIFEST_TYPE]),
        (("--sbom=true", *DOCKER_TYPES[::2]), [OCI_MANIFEST_TYPE, OCI_INDEX_TYPE]),
        (DOCKER_TYPES[1:], [OCI_MANIFEST_TYPE, OCI_INDEX_TYPE]),
        (DOCKER_TYPES, [MANIFEST_TYPE]),
    ],
)
def test_a_push_sends_the_manifest_that_the_build_was_told_to_make(
    docker: Docker, options: tuple[str, ...], pushed: list[str]
) -> None:
    docker.build(*options)
    docker.run("push", NAME)
    assert docker.ecr.media_types == pushed


def test_a_docker_that_heeds_no_option_can_be_had(docker: Docker) -> None:
    faults = docker.store.folder.parent / "faults"
    faults.mkdir()
    (faults / "docker-pushes").write_text(OCI_MANIFEST_TYPE)
    docker.build(*DOCKER_TYPES)
    docker.run("push", NAME)
    assert docker.ecr.media_types == [OCI_MANIFEST_TYPE]


def test_the_base_is_pulled_by_tag_or_digest_and_must_be_there(docker: Docker) -> None:
    docker.build("--build-arg", f"BASE_IMAGE={BASE}@{BASE_DIGEST}")
    for missing in (f"{BASE}@sha256:{'0' * 64}", BASE.replace("2.6.0", "2.6.1")):
        with pytest.raises(UsageError, match="failed to resolve source metadata"):
            docker.build("--build-arg", f"BASE_IMAGE={missing}")


def test_labels_of_the_command_line_are_the_image_s(docker: Docker) -> None:
    record = docker.store.load(docker.build("--label", "org.kind=real", "--label=a=b"))
    assert record.labels == {"org.flavour": "plain", "org.kind": "real", "a": "b"}
    assert record.config()["config"]["Labels"]["org.kind"] == "real"


def test_a_tag_names_the_same_image(docker: Docker) -> None:
    digest = docker.build()
    docker.run("tag", NAME, "other:latest")
    assert docker.store.resolve("other:latest") == digest


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("FROM $MISSING\n", r"Dockerfile:1: FROM needs a whole reference .*build-arg missing"),
        (f"FROM {BASE}\nCOPY nothing /x\n", r"Dockerfile:2: COPY nothing: no such file"),
        (f"FROM {BASE}\nCOPY ../../images /x\n", "outside the build context|no such file"),
        (f"FROM {BASE}\nENTRYPOINT python -m x\n", "Dockerfile:2: ENTRYPOINT needs the exec form"),
        (f"FROM {BASE}\nONBUILD RUN x\n", "Dockerfile:2: ONBUILD can't be done here"),
        (f"FROM {BASE}\nCOPY --from=other /a /b\n", "--from=other can't be done here"),
        ("ENV A=b\n", "ENV before FROM"),
        ("# nothing\n", "there is no FROM"),
    ],
)
def test_a_dockerfile_that_cannot_be_honoured_is_an_error(
    docker: Docker, dockerfile: str, message: str
) -> None:
    (docker.context / "Dockerfile").write_text(dockerfile)
    with pytest.raises(DockerfileError, match=message):
        docker.build()


@pytest.mark.parametrize(
    "words",
    [
        ["build", "--squash", "."],
        ["build", "nowhere"],
        ["build", "--output=type=docker", "."],
        ["push", "unknown:1"],
        ["run", "image"],
        ["login"],
        [],
    ],
)
def test_a_command_line_it_does_not_know_is_refused(docker: Docker, words: list[str]) -> None:
    with pytest.raises(UsageError):
        docker.run(*words)


def test_login_checks_the_token(docker: Docker) -> None:
    words = ["login", "--username", "AWS", "--password-stdin", "registry"]
    assert docker.run(*words, password="sesame\n") == "Login Succeeded"  # noqa: S106
    with pytest.raises(UsageError, match="unauthorized"):
        docker.run(*words, password="wrong")  # noqa: S106


def test_the_exit_status_is_dockers(docker: Docker, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"SD_LOCAL_IMAGES": str(docker.store.folder)}

    assert docker_shim.main(["version"], environment) == 0
    assert docker_shim.main(["build", "nowhere"], environment) == 125
    assert "not a folder" in capsys.readouterr().err


def test_the_record_is_plain_json(docker: Docker) -> None:
    digest = docker.build()
    path = docker.store.rootfs(digest).parent / "record.json"
    assert json.loads(path.read_text())["workdir"] == "/opt/sd"
