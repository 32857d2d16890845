"""The CodeBuild builds of a step: they carry its key, wait URL, output and the prefix of the jobs
they may start in their environment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WAIT_URL = "SD_WAIT_URL"
KEY = "SD_KEY"
OUTPUT = "SD_OUTPUT"
JOBS = "SD_JOB_PREFIX"


@dataclass(frozen=True)
class Step:
    """The custom resource's properties. `jobs` is what the names of its builds' training jobs begin
    with, empty where they start none; `quota` is CodeBuild's that its builds count for."""

    project: str
    key: str
    wait_url: str
    output: Mapping[str, str]
    quota: str
    jobs: str

    @classmethod
    def parse(cls, properties: Mapping[str, Any]) -> "Step":
        """Raises KeyError."""
        return cls(
            properties["Project"],
            properties["Key"],
            properties["WaitUrl"],
            properties["Output"],
            # Absent from a stack of an earlier version, which must be deletable.
            properties.get("Quota", "CodeBuild's concurrently running builds"),
            properties.get("Jobs", {}).get("NamePrefix", ""),
        )


@dataclass(frozen=True)
class Build:
    """One build as CodeBuild reports it. `wait_url` is None where no step started it."""

    id: str
    status: str
    key: str
    wait_url: str | None
    output: Mapping[str, str]
    jobs: str
    log_link: str
    failure: str

    @property
    def project(self) -> str:
        return self.id.rsplit(":", 1)[0]

    @property
    def running(self) -> bool:
        return self.status == "IN_PROGRESS"

    @property
    def unique_id(self) -> str:
        """The same for every signal about this build, whoever sends it; at most 64 characters."""
        return self.id.rsplit(":", 1)[-1]


@dataclass(frozen=True)
class Builds:
    """Wraps a boto3 CodeBuild client; its errors pass through."""

    codebuild: Any

    def start(self, step: Step, token: str) -> str:
        """The new build's id. The same `token` within five minutes starts nothing new."""
        variables = {
            KEY: step.key,
            WAIT_URL: step.wait_url,
            OUTPUT: json.dumps(step.output, sort_keys=True),
            **({JOBS: step.jobs} if step.jobs else {}),
        }
        started = self.codebuild.start_build(
            projectName=step.project,
            idempotencyToken=token,
            environmentVariablesOverride=[
                {"name": name, "value": value, "type": "PLAINTEXT"}
                for name, value in variables.items()
            ],
        )
        return str(started["build"]["id"])

    def stop(self, build_id: str) -> None:
        self.codebuild.stop_build(id=build_id)

    def running(self, project: str, key: str) -> list[Build]:
        """Among the project's newest hundred; a step runs one at a time."""
        ids = self.codebuild.list_builds_for_project(projectName=project, sortOrder="DESCENDING")
        return [b for b in self._get(ids.get("ids", [])[:100]) if b.running and b.key == key]

    def get(self, build_id: str) -> Build | None:
        return next(iter(self._get([build_id])), None)

    def _get(self, ids: list[str]) -> list[Build]:
        if not ids:
            return []
        return [_build(raw) for raw in self.codebuild.batch_get_builds(ids=ids)["builds"]]


def _build(raw: Mapping[str, Any]) -> Build:
    listed = raw.get("environment", {}).get("environmentVariables") or ()
    variables = {variable["name"]: variable["value"] for variable in listed}
    return Build(
        id=raw["id"],
        status=raw["buildStatus"],
        key=variables.get(KEY, ""),
        wait_url=variables.get(WAIT_URL),
        output=json.loads(variables.get(OUTPUT, "{}")),
        jobs=variables.get(JOBS, ""),
        log_link=(raw.get("logs") or {}).get("deepLink", ""),
        failure=_failure(raw.get("phases") or ()),
    )


def _failure(phases: Any) -> str:
    """The first phase that went wrong, in CodeBuild's words: "INSTALL: exit status 1"."""
    for phase in phases:
        if phase.get("phaseStatus") not in (None, "SUCCEEDED", "IN_PROGRESS", "QUEUED"):
            told = [c.get("message", "") for c in phase.get("contexts") or ()]
            return f"{phase['phaseType']}: {'; '.join(filter(None, told)) or phase['phaseStatus']}"
    return ""
