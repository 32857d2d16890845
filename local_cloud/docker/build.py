"""`docker build` without a daemon: lays a Dockerfile's files out and notes what runs them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from local_cloud.docker.dockerfile import DockerfileError, Instruction, expand, parse_dockerfile
from local_cloud.docker.store import PUBLIC, REFERENCE, ImageRecord, ImageStore


@dataclass(frozen=True)
class BuildOptions:
    """What `docker build` is told besides the Dockerfile; `media_type` is its output's."""

    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    media_type: str


def build_image(store: ImageStore, context: Path, dockerfile: Path, options: BuildOptions) -> str:
    """Lay the image out and save its record; the digest, the same for the same content.

    DockerfileError says what is wrong, with its line.
    """
    store.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.folder) as folder:
        builder = _Builder(context, Path(folder) / "rootfs", options.build_args)
        for instruction in parse_dockerfile(dockerfile.read_text()):
            builder.apply(instruction)
        if not builder.record.base_image:
            raise DockerfileError("Dockerfile: there is no FROM")
        record = replace(builder.record, labels=dict(options.labels), media_type=options.media_type)
        digest = "sha256:" + _content_digest(builder.rootfs, record)
        target = store.rootfs(digest)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            builder.rootfs.rename(target)
    store.save(digest, record)
    return digest


class _Builder:
    def __init__(self, context: Path, rootfs: Path, build_args: Mapping[str, str]) -> None:
        self.rootfs, self.record = rootfs, ImageRecord(base_image="")
        self._context, self._given = context, build_args
        self._args: dict[str, str] = {}
        rootfs.mkdir()

    def apply(self, instruction: Instruction) -> None:
        name = instruction.name
        if name not in ("ARG", "FROM") and not self.record.base_image:
            raise instruction.error(f"{name} before FROM")
        value = instruction.value
        if name not in ("RUN", "ENTRYPOINT"):
            instruction = replace(instruction, value=expand(value, self._variables()))
        getattr(self, f"_{name.lower()}")(instruction)

    def _variables(self) -> dict[str, str]:
        # ENV wins over ARG, as in Docker.
        return {**self._args, **self.record.environment}

    def _arg(self, instruction: Instruction) -> None:
        name, _, default = instruction.value.partition("=")
        self._args[name] = self._given.get(name, default.strip("\"'"))

    def _from(self, instruction: Instruction) -> None:
        if self.record.base_image:
            raise instruction.error("a second FROM can't be done here")
        base = REFERENCE.match(instruction.value)
        if not PUBLIC.match(instruction.value) and (
            base is None or not (base["tag"] or base["digest"])
        ):
            raise instruction.error(
                "FROM needs a whole reference to an ECR registry, with a tag or digest, not "
                f"'{instruction.value}' (is a --build-arg missing?)"
            )
        self.record = replace(self.record, base_image=instruction.value)

    def _env(self, instruction: Instruction) -> None:
        environment = {**self.record.environment, **instruction.pairs()}
        self.record = replace(self.record, environment=environment)

    def _workdir(self, instruction: Instruction) -> None:
        workdir = str(PurePosixPath(self.record.workdir) / instruction.value)
        self.record = replace(self.record, workdir=workdir)

    def _user(self, instruction: Instruction) -> None:
        """Nothing: a process here is its user's."""

    def _run(self, instruction: Instruction) -> None:
        self.record = replace(self.record, run=(*self.record.run, instruction.value))

    def _entrypoint(self, instruction: Instruction) -> None:
        self.record = replace(self.record, entrypoint=instruction.exec_form())

    def _copy(self, instruction: Instruction) -> None:
        sources, destination = instruction.paths()
        inside = str(PurePosixPath(self.record.workdir) / destination)
        target = self.rootfs / inside.lstrip("/")
        into_folder = destination.endswith("/") or len(sources) > 1
        for source in sources:
            path = self._context / source.lstrip("/")
            if not path.exists():
                raise instruction.error(f"COPY {source}: no such file in the build context")
            if not path.resolve().is_relative_to(self._context.resolve()):
                raise instruction.error(f"COPY {source}: outside the build context")
            if path.is_dir():
                # Docker copies a folder's content, not the folder.
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                file = target / path.name if into_folder or target.is_dir() else target
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, file)


def _content_digest(rootfs: Path, record: ImageRecord) -> str:
    digest = hashlib.sha256(json.dumps(asdict(record), sort_keys=True).encode())
    for path in sorted(rootfs.rglob("*")):
        digest.update(str(path.relative_to(rootfs)).encode() + b"\0")
        if path.is_file():
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()
