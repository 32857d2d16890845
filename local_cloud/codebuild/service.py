"""CodeBuild's builds in MiniStack's place: StartBuild, StopBuild, records, events."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.codebuild.build import BuildPlan, BuildRun
from local_cloud.ministack.codebuild import Record, build_records, new_record, project_named
from local_cloud.ministack.identity import (
    RoleUnusable,
    allowed,
    assume_service_role,
    run_in_account,
)
from local_cloud.ministack.telemetry import LogStream, put_event
from local_cloud.settings import CloudSettings

VARIABLES = "environmentVariablesOverride"
KNOWN = {"projectName", "idempotencyToken", VARIABLES}
"""Of StartBuild's members."""


class CodeBuildService:
    """Runs what StartBuild asks for; one thread a build."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self._runs: dict[str, BuildRun] = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End every build."""
        for run in list(self._runs.values()):
            run.stop()

    def start_build(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """StartBuild. Raises BadRequest."""
        if unknown := set(request) - KNOWN:
            message = f"The local cloud knows no {', '.join(sorted(unknown))}"
            raise BadRequest("InvalidInputException", message)
        project = project_named(request["projectName"])
        if project is None:
            raise _missing(f"Project cannot be found: {request['projectName']}")
        token, builds = request.get("idempotencyToken"), build_records()
        with self._lock:
            if token and (known := builds.get(self._tokens.get(token, ""))):
                return {"build": copy.deepcopy(known)}
            self._refuse_for_quota(builds)
            build = self._new_record(project, request)
            builds[build["id"]] = build
            if token:
                self._tokens[token] = build["id"]
        run_in_account(self._settings, lambda: self._execute(build, project), build["id"])
        return {"build": copy.deepcopy(build)}

    def stop_build(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """StopBuild: ends the processes; the record says STOPPED when they are gone. Raises
        BadRequest."""
        build = build_records().get(request["id"])
        if build is None:
            raise _missing(f"Build cannot be found: {request['id']}")
        if run := self._runs.get(build["id"]):
            run_in_account(self._settings, run.stop, f"stop-{build['id']}")
        return {"build": copy.deepcopy(build)}

    def _refuse_for_quota(self, builds: Mapping[str, Record]) -> None:
        """How many builds a young account may have: the fault `codebuild-quota`
        (aws-nuke#1209, flightcontrol.dev's docs on CodeBuild concurrency)."""
        limit = self._settings.fault("codebuild-quota")
        under_way = sum(not build["buildComplete"] for build in builds.values())
        if limit is not None and under_way >= int(limit):
            raise BadRequest(
                "AccountLimitExceededException",
                f"Cannot have more than {limit} builds in queue for the account",
            )

    def _new_record(self, project: Record, request: Mapping[str, Any]) -> Record:
        build = new_record(project)
        build.pop("endTime")
        logs = (project.get("logsConfig") or {}).get("cloudWatchLogs") or {}
        group = logs.get("groupName") or f"/aws/codebuild/{project['name']}"
        prefix = f"{logs['streamName']}/" if logs.get("streamName") else ""
        stream = prefix + build["id"].rsplit(":", 1)[-1]
        environment = copy.deepcopy(project["environment"])
        given = environment.get("environmentVariables") or []
        named = {item["name"]: item for item in (*given, *request.get(VARIABLES, []))}
        environment["environmentVariables"] = list(named.values())
        build.update(
            buildStatus="IN_PROGRESS",
            buildComplete=False,
            currentPhase="SUBMITTED",
            environment=environment,
            serviceRole=project["serviceRole"],
            timeoutInMinutes=project.get("timeoutInMinutes", 60),
            logs={
                "groupName": group,
                "streamName": stream,
                "deepLink": "https://console.aws.amazon.com/cloudwatch/home?region="
                f"{self._settings.region}#logsV2:log-groups/log-group/"
                f"{group.replace('/', '$252F')}/log-events/{stream.replace('/', '$252F')}",
            },
            phases=[{"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED"}],
        )
        return build

    def _execute(self, build: Record, project: Record) -> None:
        self._publish(build)
        stream = LogStream(self._settings, build["logs"]["groupName"], build["logs"]["streamName"])
        status = "FAULT"
        try:
            run = self._runs[build["id"]] = BuildRun(
                self._settings,
                self._plan(build, project),
                stream.write,
                lambda *phase: _note_phase(build, stream, *phase),
            )
            status = run.run()
        except RoleUnusable as error:
            status = "FAILED"
            _note_phase(build, None, "SUBMITTED", "FAILED", str(error))
        finally:
            self._runs.pop(build["id"], None)
            build.update(
                buildStatus=status,
                buildComplete=True,
                currentPhase="COMPLETED",
                endTime=int(time.time()),
            )
            self._publish(build)

    def _plan(self, build: Record, project: Record) -> BuildPlan:
        role = assume_service_role(
            self._settings, project["serviceRole"], "codebuild.amazonaws.com", "AWSCodeBuild"
        )
        group, stream = build["logs"]["groupName"], build["logs"]["streamName"]
        resource = self._settings.arn("logs", f"log-group:{group}:log-stream:{stream}")
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            if not allowed(self._settings, role.access_key, action, resource):
                raise RoleUnusable(
                    f"ACCESS_DENIED: Service role {role.role_arn} does not allow AWS CodeBuild to "
                    f"create Amazon CloudWatch Logs log streams for build {build['arn']}. Error "
                    f"message: not authorized to perform: {action} on resource: {resource}"
                )
        variables, source = build["environment"]["environmentVariables"], project["source"]
        if source["type"] != "S3":
            raise RoleUnusable(f"A source of type {source['type']} can't be had here")
        if any(item.get("type", "PLAINTEXT") != "PLAINTEXT" for item in variables):
            raise RoleUnusable("Only PLAINTEXT variables can be had here")
        return BuildPlan(
            build_id=build["id"],
            source=source["location"],
            buildspec=source["buildspec"],
            environment={item["name"]: item["value"] for item in variables},
            timeout_s=float(build["timeoutInMinutes"]) * 60,
            role=role,
        )

    def _publish(self, build: Record) -> None:
        """https://docs.aws.amazon.com/codebuild/latest/userguide/sample-build-notifications.html"""
        put_event(
            "aws.codebuild",
            "CodeBuild Build State Change",
            {
                "build-status": build["buildStatus"],
                "project-name": build["projectName"],
                "build-id": build["arn"],
            },
            build["arn"],
        )


def _missing(message: str) -> BadRequest:
    return BadRequest("ResourceNotFoundException", message)


def _note_phase(
    build: Record, stream: LogStream | None, name: str, status: str, context: str
) -> None:
    said = [f"[Container] Phase complete: {name} State: {status}"]
    if status == "IN_PROGRESS":
        build["currentPhase"] = name
        build["phases"].append({"phaseType": name})
        said = [f"[Container] Entering phase {name}"]
    else:
        phase = next(item for item in build["phases"] if item["phaseType"] == name)
        error = {"statusCode": "COMMAND_EXECUTION_ERROR", "message": context}
        phase.update(phaseStatus=status, contexts=[error] if context else [])
        if context:
            said.append(f"[Container] Phase context status code:  Message: {context}")
    if stream:
        for line in said:
            stream.write(line)
