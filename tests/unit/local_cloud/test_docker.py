"""The `docker` that builds of the local cloud get, and AWS's registries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from local_cloud.api_shapes import BadRequest
from local_cloud.docker import shim
from local_cloud.docker.command import NotRunnable, choose_command
from local_cloud.docker.dockerfile import DockerfileError
from local_cloud.docker.registry import AwsRegistry, digest_of_base
from local_cloud.docker.shim import UsageError
from local_cloud.docker.store import (
    MANIFEST_TYPE,
    OCI_INDEX_TYPE,
    OCI_MANIFEST_TYPE,
    ImageStore,
    digest_in,
)
from local_cloud.settings import CloudSettings

AWS_ACCOUNT, REPOSITORY = "763104351884", "pytorch-inference"
BASE = f"{AWS_ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}:2.6.0"
BASE_DIGEST = digest_of_base(AWS_ACCOUNT, REPOSITORY, "2.6.0")
ACCOUNTS = {REPOSITORY: {"us-east-1": AWS_ACCOUNT, "eu-south-1": "692866216735"}}
NO_ATTESTATION, NO_SBOM = "--provenance=false", "--sbom=false"
DOCKER_TYPES = "--output=type=image,oci-mediatypes=false"
NAME = "000000000000.dkr.ecr.us-east-1.amazonaws.com/sd-g5:abc"
DOCKERFILE = r"""
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG FLAVOUR=plain
ENV PYTHONPATH=/opt/sd \
    # a comment between two lines
    FLAVOUR="${FLAVOUR} and $FLAVOUR"
WORKDIR /opt/sd
COPY serving serving
COPY requirements.txt notes/notes.md ./
RUN pip install -r requirements.txt && \
    echo done
ENTRYPOINT ["python", "-m", "serving", "/opt/sd/notes.md", "--port=8080"]
"""


class FakeEcr:
    """As much of a boto3 ECR client as the shim calls; AWS's registry answers for the bases."""

    def __init__(self, registry: AwsRegistry) -> None:
        self.pushed: list[tuple[str, str]] = []
        """Manifest and media type."""
        self._registry = registry

    def batch_get_image(self, **request: Any) -> dict[str, Any]:
        return self._registry.batch_get_image(request)

    def batch_check_layer_availability(self, **_: Any) -> dict[str, Any]:
        return {}

    def put_image(self, **request: Any) -> dict[str, Any]:
        self.pushed.append((request["imageManifest"], request["imageManifestMediaType"]))
        return {"image": {"imageId": {"imageDigest": "sha256:" + "f" * 64}}}

    def get_authorization_token(self) -> dict[str, Any]:
        return {"authorizationData": [{"authorizationToken": "QVdTOnNlc2FtZQ=="}]}  # AWS:sesame


class Docker:
    def __init__(self, folder: Path) -> None:
        self.settings = CloudSettings(port=1, state=folder)
        self.settings.make_folders()
        self.store, self.context = ImageStore(self.settings.images), folder / "ctx"
        self.registry = AwsRegistry(self.settings, ACCOUNTS)
        self.ecr = FakeEcr(self.registry)
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
        return shim.run(words, self.store, self.ecr, lambda: password)

    def build(self, *words: str, base: str = BASE) -> str:
        file = str(self.context / "Dockerfile")
        self.run("buildx", "build", "--build-arg", f"BASE_IMAGE={base}", "--tag", NAME,
                 "--file", file, *words, str(self.context))  # fmt: skip
        digest = self.store.resolve(NAME)
        assert digest
        return digest

    def types_pushed(self) -> list[str]:
        self.run("push", NAME)
        return [media_type for _, media_type in self.ecr.pushed]


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    return Docker(tmp_path)


def test_a_build_lays_out_what_runs(docker: Docker) -> None:
    digest = docker.build("--build-arg=FLAVOUR=sweet", "--label", "org.kind=toy", "--label=a=b")

    record, rootfs = docker.store.load(digest), docker.store.rootfs(digest)
    assert record.base_image == BASE
    assert record.environment == {"PYTHONPATH": "/opt/sd", "FLAVOUR": "sweet and sweet"}
    assert record.run == ("pip install -r requirements.txt && echo done",)
    laid_out = {str(path.relative_to(rootfs)) for path in rootfs.rglob("*") if path.is_file()}
    names = ("serving/__init__.py", "serving/__main__.py", "requirements.txt", "notes.md")
    assert laid_out == {f"opt/sd/{name}" for name in names}
    config = docker.store.config(digest)
    assert config
    assert config["config"]["Labels"] == {"org.kind": "toy", "a": "b"}
    assert docker.store.config("sha256:" + "2" * 64) is None

    chosen = choose_command(docker.store, digest)
    words = ("-m", "serving", f"{rootfs}/opt/sd/notes.md", "--port=8080")
    assert chosen.command == (sys.executable, *words)
    assert chosen.environment["PYTHONPATH"] == f"{rootfs}/opt/sd"
    assert chosen.folder == rootfs / "opt/sd"


def test_the_same_content_is_the_same_image(docker: Docker) -> None:
    first = docker.build()
    assert docker.build() == first

    (docker.context / "requirements.txt").write_text("scipy")
    assert docker.build() != first


def test_an_image_without_a_command_is_not_runnable(docker: Docker) -> None:
    (docker.context / "Dockerfile").write_text(f"FROM {BASE}\n")
    with pytest.raises(NotRunnable, match="no ENTRYPOINT"):
        choose_command(docker.store, docker.build())


@pytest.mark.parametrize(
    ("options", "pushed"),
    [
        ((), [OCI_MANIFEST_TYPE, OCI_INDEX_TYPE]),
        (("--provenance", "false"), [OCI_MANIFEST_TYPE]),
        ((NO_SBOM, DOCKER_TYPES), [OCI_MANIFEST_TYPE, OCI_INDEX_TYPE]),
        ((NO_ATTESTATION, NO_SBOM, DOCKER_TYPES), [MANIFEST_TYPE]),
    ],
)
def test_a_push_sends_the_manifest_that_the_build_was_told_to_make(
    docker: Docker, options: tuple[str, ...], pushed: list[str]
) -> None:
    digest = docker.build(*options)
    assert docker.types_pushed() == pushed
    assert digest_in(docker.ecr.pushed[0][0]) == digest


def test_a_docker_that_heeds_no_option_can_be_had(docker: Docker) -> None:
    (docker.settings.faults / "docker-pushes").write_text(OCI_MANIFEST_TYPE)
    docker.build(NO_ATTESTATION, NO_SBOM, DOCKER_TYPES)
    assert docker.types_pushed() == [OCI_MANIFEST_TYPE]


def test_the_base_is_pulled_by_tag_or_digest_and_must_be_there(docker: Docker) -> None:
    docker.build(base=f"{BASE}@{BASE_DIGEST}")
    (docker.settings.faults / "no-base-image").touch()
    with pytest.raises(UsageError, match="failed to resolve source metadata"):
        docker.build()


def test_a_tag_of_aws_s_has_a_digest_that_stays(docker: Docker) -> None:
    def ask(registry: str, **wanted: str) -> dict[str, Any]:
        return docker.registry.batch_get_image(
            {"registryId": registry, "repositoryName": REPOSITORY, "imageIds": [wanted]}
        )

    (image,) = ask(AWS_ACCOUNT, imageTag="2.6.0")["images"]
    assert image["imageId"] == {"imageTag": "2.6.0", "imageDigest": BASE_DIGEST}
    assert ask(AWS_ACCOUNT, imageDigest=BASE_DIGEST)["images"]
    for elsewhere in ("692866216735", "111122223333"):
        with pytest.raises(BadRequest, match="does not exist in the registry") as caught:
            ask(elsewhere, imageTag="2.6.0")
        assert caught.value.code == "RepositoryNotFoundException"
    (docker.settings.faults / "no-base-image").touch()
    (failure,) = ask(AWS_ACCOUNT, imageTag="2.6.0")["failures"]
    assert failure["failureCode"] == "ImageNotFound"


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        (
            "FROM docker.io/library/python:3\n",
            "Dockerfile:1: FROM needs a whole reference to an ECR",
        ),
        ("FROM $MISSING\n", r"Dockerfile:1: FROM needs a whole reference .*build-arg missing"),
        (f"FROM {BASE}\nCOPY nothing /x\n", r"Dockerfile:2: COPY nothing: no such file"),
        (f"FROM {BASE}\nCOPY ../images /x\n", "outside the build context"),
        (f"FROM {BASE}\nENTRYPOINT python -m x\n", "Dockerfile:2: ENTRYPOINT needs the exec form"),
        (f"FROM {BASE}\nONBUILD RUN x\n", "Dockerfile:2: ONBUILD can't be done here"),
        (f"FROM {BASE}\nCOPY --from=other /a /b\n", "--from=other can't be done here"),
        (f"FROM {BASE}\nCOPY *.md /b\n", "can't be done here"),
        (f"FROM {BASE}\nENV A b\n", "ENV needs NAME=value"),
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
    "line",
    [
        "buildx build --file Dockerfile --tag a:1 --squash .",
        "buildx build --file Dockerfile --tag a:1 nowhere",
        "buildx build --file Dockerfile --tag a:1 --output=type=docker .",
        "buildx build --file Dockerfile --tag a:1 --sbom=true .",
        "buildx build --file nothing --tag a:1 .",
        "push unknown:1",
        "run image",
        "login registry",
        "",
    ],
)
def test_a_command_line_it_does_not_know_is_refused(docker: Docker, line: str) -> None:
    with pytest.raises(UsageError):
        docker.run(*line.split())


def test_login_checks_the_token(docker: Docker) -> None:
    words = ["login", "--username", "AWS", "--password-stdin", "registry"]
    assert docker.run(*words, password="sesame\n") == "Login Succeeded"  # noqa: S106
    with pytest.raises(UsageError, match="unauthorized"):
        docker.run(*words, password="wrong")  # noqa: S106


def test_the_exit_status_is_dockers(docker: Docker, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"SD_LOCAL_IMAGES": str(docker.store.folder), "AWS_REGION": "us-east-1"}
    assert shim.main(["run"], environment) == 125
    assert "ERROR: docker: " in capsys.readouterr().err
