"""The CodeBuild builds of a step: they carry its key, wait URL, output and the prefix of the jobs
they may start in their environment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from build_trigger.outputs import Output

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
    told: Mapping[str, str]
    quota: str
    jobs: str

    @property
    def output(self) -> Output:
        """What it is `told` of; raises KeyError. A stack of an earlier version, which must be
        deletable, may tell otherwise."""
        return Output.parse(self.told)

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
    """One build as CodeBuild reports it, and the step that started it. `phase` is the first that
    went wrong, in CodeBuild's words: "INSTALL: exit status 1"."""

    id: str
    status: str
    key: str
    wait_url: str
    output: Output
    jobs: str
    log_group: str
    log_stream: str
    log_link: str
    phase: str

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
            OUTPUT: json.dumps(step.told, sort_keys=True),
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
        """None where there is no such build, or no step has started it."""
        return next(iter(self._get([build_id])), None)

    def _get(self, ids: list[str]) -> list[Build]:
        if not ids:
            return []
        found = self.codebuild.batch_get_builds(ids=ids)["builds"]
        return [build for raw in found if (build := _build(raw))]


def _build(raw: Mapping[str, Any]) -> Build | None:
    listed = raw.get("environment", {}).get("environmentVariables") or ()
    variables = {variable["name"]: variable["value"] for variable in listed}
    if not {WAIT_URL, KEY, OUTPUT} <= variables.keys():
        return None
    logs = raw.get("logs") or {}
    return Build(
        id=raw["id"],
        status=raw["buildStatus"],
        key=variables[KEY],
        wait_url=variables[WAIT_URL],
        output=Output.parse(json.loads(variables[OUTPUT])),
        jobs=variables.get(JOBS, ""),
        log_group=logs.get("groupName", ""),
        log_stream=logs.get("streamName", ""),
        log_link=logs.get("deepLink", ""),
        phase=_failed_phase(raw.get("phases") or ()),
    )


def _failed_phase(phases: Any) -> str:
    for phase in phases:
        if phase.get("phaseStatus") not in (None, "SUCCEEDED", "IN_PROGRESS", "QUEUED"):
            told = [c.get("message", "") for c in phase.get("contexts") or ()]
            return f"{phase['phaseType']}: {'; '.join(filter(None, told)) or phase['phaseStatus']}"
    return ""
