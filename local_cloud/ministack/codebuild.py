"""MiniStack's CodeBuild: its projects and the records of its builds, whose running is ours."""

from __future__ import annotations

from typing import Any, cast

from ministack.services import codebuild
from ministack.services.cloudformation import provisioners

from local_cloud.ministack.answers import Operation, answering

Record = dict[str, Any]


def project_named(name: str) -> Record | None:
    return cast(Record | None, codebuild._projects.get(name))


def build_records() -> dict[str, Record]:
    """By the builds' ids."""
    return cast(dict[str, Record], codebuild._builds)


def new_record(project: Record) -> Record:
    """As MiniStack has it for a build of `project`, not yet among `build_records`."""
    build_id = codebuild._build_id(project["name"])
    return cast(Record, codebuild._make_build_record(project, build_id))


def install_codebuild(start_build: Operation, stop_build: Operation) -> None:
    """Put these in the place of MiniStack's, which need a Docker daemon."""
    codebuild._start_build = answering(start_build)
    codebuild._stop_build = answering(stop_build)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::CodeBuild::Project"]
    for verb in ("create", "update"):
        handlers[verb] = _keeping_log_settings(handlers[verb])


def _keeping_log_settings(handler: Any) -> Any:
    """MiniStack drops a template's LogsConfig; a build's log goes by it."""

    def wrapped(*arguments: Any) -> Any:
        # (logical id, properties, stack) or (physical id, old, new properties, stack)
        properties = arguments[1] if len(arguments) == 3 else arguments[2]
        physical_id, attributes = handler(*arguments)
        project = codebuild._projects[physical_id]
        project["logsConfig"] = provisioners._codebuild_cfn_to_api(
            properties.get("LogsConfig") or {}
        )
        return physical_id, attributes

    return wrapped
