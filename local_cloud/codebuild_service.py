"""CodeBuild's builds in MiniStack's place: StartBuild, StopBuild, records, events."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Mapping
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import codebuild
from ministack.services.cloudformation import provisioners

from local_cloud.bridge import (
    LogStream,
    RoleUnusable,
    allowed,
    assume_service_role,
    put_event,
    run_in_account,
)
from local_cloud.codebuild_runner import BuildOutcome, BuildPlan, BuildRun
from local_cloud.settings import CloudSettings

Response = tuple[int, dict[str, str], bytes]
Record = dict[str, Any]


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

    def start_build(self, request: Mapping[str, Any]) -> Response:
        """StartBuild."""
        name = request.get("projectName", "")
        project = codebuild._projects.get(name)
        if project is None:
            return _refused(f"Project cannot be found: {name}")
        token = request.get("idempotencyToken")
        with self._lock:
            if token and (known := codebuild._builds.get(self._tokens.get(token, ""))):
                return _answer(known)
            if (limit := self._limit()) is not None and self._under_way() >= limit:
                return _refused(
                    f"Cannot have more than {limit} builds in queue for the account",
                    "AccountLimitExceededException",
                )
            build = self._new_record(project, request)
            codebuild._builds[build["id"]] = build
            if token:
                self._tokens[token] = build["id"]
        overridden = {
            **project,
            "source": {
                **project["source"],
                **{
                    key: request[f"{prefix}Override"]
                    for key, prefix in (("buildspec", "buildspec"), ("location", "sourceLocation"),
                                        ("type", "sourceType"))
                    if f"{prefix}Override" in request
                },
            },
        }  # fmt: skip
        run_in_account(self._settings, lambda: self._execute(build, overridden), build["id"])
        return _answer(build)

    def stop_build(self, request: Mapping[str, Any]) -> Response:
        """StopBuild: ends the processes; the record says STOPPED when they are gone."""
        build_id = request.get("id", "")
        build = codebuild._builds.get(build_id)
        if build is None:
            return _refused(f"Build cannot be found: {build_id}")
        run = self._runs.get(build_id)
        if run:
            run_in_account(self._settings, run.stop, f"stop-{build_id}")
        return _answer(build)

    def _limit(self) -> int | None:
        """How many builds a young account may have: the content of `<state>/faults/codebuild-quota`
        (aws-nuke#1209, flightcontrol.dev's docs on CodeBuild concurrency)."""
        try:
            return int((self._settings.state / "faults" / "codebuild-quota").read_text())
        except FileNotFoundError:
            return None

    def _under_way(self) -> int:
        return sum(not build["buildComplete"] for build in codebuild._builds.values())

    def _new_record(self, project: Record, request: Mapping[str, Any]) -> Record:
        build_id = codebuild._build_id(project["name"])
        build: Record = codebuild._make_build_record(project, build_id)
        now = int(time.time())
        build.pop("endTime")
        logs = (project.get("logsConfig") or {}).get("cloudWatchLogs") or {}
        group = logs.get("groupName") or f"/aws/codebuild/{project['name']}"
        prefix = f"{logs['streamName']}/" if logs.get("streamName") else ""
        stream = prefix + build_id.rsplit(":", 1)[-1]
        region = self._settings.region
        environment = copy.deepcopy(project.get("environment") or {})
        environment["environmentVariables"] = _merged(
            environment.get("environmentVariables") or [],
            request.get("environmentVariablesOverride") or [],
        )
        build.update(
            buildStatus="IN_PROGRESS",
            buildComplete=False,
            currentPhase="SUBMITTED",
            environment=environment,
            serviceRole=project["serviceRole"],
            timeoutInMinutes=request.get(
                "timeoutInMinutesOverride", project.get("timeoutInMinutes", 60)
            ),
            logs={
                "groupName": group,
                "streamName": stream,
                "deepLink": f"https://console.aws.amazon.com/cloudwatch/home?region={region}"
                f"#logsV2:log-groups/log-group/{group.replace('/', '$252F')}/log-events/"
                f"{stream.replace('/', '$252F')}",
            },
            phases=[
                {
                    "phaseType": "SUBMITTED",
                    "phaseStatus": "SUCCEEDED",
                    "startTime": now,
                    "endTime": now,
                    "durationInSeconds": 0,
                }
            ],
        )
        return build

    def _execute(self, build: Record, project: Record) -> None:
        self._publish(build)
        stream = LogStream(self._settings, build["logs"]["groupName"], build["logs"]["streamName"])
        outcome = BuildOutcome("FAULT")
        try:
            plan = self._plan(build, project)
            run = BuildRun(
                self._settings,
                plan,
                lambda line: stream.write([line]),
                lambda name, status, context: _phase(build, stream, name, status, context),
            )
            self._runs[build["id"]] = run
            outcome = run.run()
        except RoleUnusable as error:
            outcome = BuildOutcome("FAILED")
            _phase(build, None, "SUBMITTED", "FAILED", str(error))
        finally:
            self._runs.pop(build["id"], None)
            build.update(
                buildStatus=outcome.status,
                buildComplete=True,
                currentPhase="COMPLETED",
                endTime=int(time.time()),
                exportedEnvironmentVariables=[
                    {"name": name, "value": value} for name, value in outcome.exported.items()
                ],
            )
            build["phases"].append({"phaseType": "COMPLETED", "startTime": build["endTime"]})
            self._publish(build)

    def _plan(self, build: Record, project: Record) -> BuildPlan:
        role = assume_service_role(
            self._settings, project["serviceRole"], "codebuild.amazonaws.com", "AWSCodeBuild"
        )
        group, stream = build["logs"]["groupName"], build["logs"]["streamName"]
        place = f"arn:aws:logs:{self._settings.region}:{self._settings.account}"
        resource = f"{place}:log-group:{group}:log-stream:{stream}"
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            if not allowed(self._settings, role.access_key, action, resource):
                raise RoleUnusable(
                    f"ACCESS_DENIED: Service role {role.role_arn} does not allow AWS CodeBuild to "
                    f"create Amazon CloudWatch Logs log streams for build {build['arn']}. Error "
                    f"message: not authorized to perform: {action} on resource: {resource}"
                )
        variables = build["environment"]["environmentVariables"]
        stored = [
            item["name"] for item in variables if item.get("type", "PLAINTEXT") != "PLAINTEXT"
        ]
        if stored:
            raise RoleUnusable(f"Only PLAINTEXT variables can be had here, not {', '.join(stored)}")
        return BuildPlan(
            build_id=build["id"],
            arn=build["arn"],
            number=build["buildNumber"],
            source_type=project["source"].get("type", "NO_SOURCE"),
            source_location=project["source"].get("location", ""),
            buildspec=project["source"].get("buildspec", ""),
            environment={item["name"]: item["value"] for item in variables},
            timeout_s=float(build["timeoutInMinutes"]) * 60,
            role=role,
            log_stream=stream,
            encryption_key=build.get("encryptionKey", ""),
            initiator=build["initiator"],
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
                "current-phase": build["currentPhase"],
                "current-phase-context": "[]",
                "version": "1",
                "additional-information": {
                    "build-complete": build["buildComplete"],
                    "initiator": build["initiator"],
                    "build-number": build["buildNumber"],
                    "logs": {
                        "group-name": build["logs"]["groupName"],
                        "stream-name": build["logs"]["streamName"],
                        "deep-link": build["logs"]["deepLink"],
                    },
                },
            },
            build["arn"],
        )


def install_codebuild(service: CodeBuildService) -> None:
    """Put `service` in the place of MiniStack's builds, which need a Docker daemon."""
    codebuild._start_build = service.start_build
    codebuild._stop_build = service.stop_build
    for name in ("_create_project", "_update_project"):
        setattr(codebuild, name, _keeping_request(getattr(codebuild, name)))
    handlers = provisioners._RESOURCE_HANDLERS["AWS::CodeBuild::Project"]
    for verb in ("create", "update"):
        handlers[verb] = _keeping_log_settings(handlers[verb])


def _keeping_request(operation: Any) -> Any:
    """MiniStack's CreateProject and UpdateProject drop logsConfig; a build's log goes by it."""

    def wrapped(request: Record) -> Response:
        response: Response = operation(request)
        if response[0] == 200 and "logsConfig" in request:
            codebuild._projects[request["name"]]["logsConfig"] = request["logsConfig"]
        return response

    return wrapped


def _keeping_log_settings(handler: Any) -> Any:
    """The same for a template's LogsConfig."""

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


def _answer(build: Record) -> Response:
    response: Response = json_response({"build": copy.deepcopy(build)})
    return response


def _refused(message: str, code: str = "ResourceNotFoundException") -> Response:
    response: Response = error_response_json(code, message, 400)
    return response


def _merged(given: list[Record], overrides: list[Record]) -> list[Record]:
    merged = {item["name"]: item for item in (*given, *overrides)}
    return list(merged.values())


def _phase(build: Record, stream: LogStream | None, name: str, status: str, context: str) -> None:
    now = int(time.time())
    if status == "IN_PROGRESS":
        build["currentPhase"] = name
        build["phases"].append({"phaseType": name, "startTime": now})
        if stream:
            stream.write([f"[Container] Entering phase {name}"])
        return
    phase = next((item for item in build["phases"] if item["phaseType"] == name), None)
    if phase is None:
        phase = {"phaseType": name, "startTime": now}
        build["phases"].append(phase)
    phase.update(
        phaseStatus=status,
        endTime=now,
        durationInSeconds=now - phase["startTime"],
        contexts=[{"statusCode": "COMMAND_EXECUTION_ERROR", "message": context}] if context else [],
    )
    if stream:
        stream.write([f"[Container] Phase complete: {name} State: {status}"])
        if context:
            stream.write([f"[Container] Phase context status code:  Message: {context}"])
