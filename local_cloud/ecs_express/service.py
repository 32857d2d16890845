"""Express Gateway services: created, updated with another task, deleted.

Checked against botocore's model of CreateExpressGatewayService; the roles do what ECS does under
them. What it makes around the tasks isn't here: no load balancer to look at, no scaling, no alarms.
"""

from __future__ import annotations

import secrets as tokens
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_cloud import aws
from local_cloud.docker.command import NotRunnable, choose_command
from local_cloud.docker.store import REFERENCE, ImageStore, digest_in
from local_cloud.ecs_express.front import HOST, Front, make_certificate
from local_cloud.ecs_express.task import Task, TaskFailed, TaskPlan
from local_cloud.ministack.identity import RoleSession, RoleUnusable, assume_service_role
from local_cloud.ministack.telemetry import LogStream
from local_cloud.settings import CloudSettings

Request = Mapping[str, Any]
TASKS, ECS = "ecs-tasks.amazonaws.com", "ecs.amazonaws.com"
# Until ECS's circuit breaker gives a deployment up, shortened.
HEALTHY_WITHIN_S = 60.0
DEFAULT_HEALTH, DEFAULT_PORT = "/ping", 80


class ServiceFailed(Exception):
    """The message says what is wrong, as a deploy shows it."""


@dataclass
class _Service:
    front: Front
    task: Task | None = None


class ExpressServices:
    """Requests have CreateExpressGatewayService's members."""

    def __init__(self, settings: CloudSettings, healthy_within_s: float = HEALTHY_WITHIN_S) -> None:
        self._settings, self._healthy_within_s = settings, healthy_within_s
        self._services: dict[str, _Service] = {}
        self._lock = threading.Lock()

    def create(self, name: str, request: Request) -> tuple[str, str]:
        """ARN and endpoint, once its task is healthy. ServiceFailed leaves nothing."""
        arn = self._settings.arn("ecs", f"service/{request.get('cluster', 'default')}/{name}")
        if arn in self._services:
            raise ServiceFailed("Creation of service was not idempotent.")
        certificate = self._settings.state / "express.pem"
        with self._lock:
            if not certificate.exists():
                make_certificate(certificate)
        service = _Service(Front(certificate))
        try:
            self._deploy(arn, service, request)
        except ServiceFailed:
            service.front.stop()
            raise
        self._services[arn] = service
        return arn, self.endpoint(arn)

    def endpoint(self, arn: str) -> str:
        """A host, as on AWS; here with a port."""
        return f"{HOST}:{self._services[arn].front.port}"

    def update(self, arn: str, request: Request) -> None:
        """Another task in the first one's place, once it is healthy. ServiceFailed leaves that."""
        self._deploy(arn, self._services[arn], request)

    def delete(self, arn: str) -> None:
        if service := self._services.pop(arn, None):
            service.front.stop()
            if service.task:
                service.task.stop()

    def stop(self) -> None:
        """End every service."""
        for arn in list(self._services):
            self.delete(arn)

    def _deploy(self, arn: str, service: _Service, request: Request) -> None:
        try:
            plan = self._plan(arn, request)
        except (RoleUnusable, NotRunnable, KeyError) as error:
            raise ServiceFailed(str(error)) from error
        try:
            task = Task(self._settings, plan)
        except OSError as error:
            raise ServiceFailed(f"CannotStartContainerError: {error}") from error
        try:
            task.await_healthy(self._healthy_within_s)
        except TaskFailed as error:
            task.stop()
            raise ServiceFailed(f"ECS Deployment Circuit Breaker was triggered. {error}") from error
        before, service.task = service.task, task
        service.front.target = task.port
        if before:
            before.stop()

    def _plan(self, arn: str, request: Request) -> TaskPlan:
        """RoleUnusable, ServiceFailed, NotRunnable or KeyError."""
        self._role(request["infrastructureRoleArn"], ECS)
        container = request["primaryContainer"]
        execution = self._role(request["executionRoleArn"], TASKS)
        role = request.get("taskRoleArn")
        own = self._role(role, TASKS) if role else None
        told = {each["name"]: each["value"] for each in container.get("environment", ())}
        for each in container.get("secrets", ()):
            told[each["name"]] = self._secret(each["valueFrom"], execution)
        log = container.get("awsLogsConfiguration") or {}
        number = tokens.token_hex(16)
        stream = f"{log.get('logStreamPrefix', 'ecs')}/Main/{number}"
        group = log.get("logGroup") or f"/aws/ecs/{arn.rsplit('/', 1)[-1]}"
        return TaskPlan(
            command=choose_command(
                ImageStore(self._settings.images), self._digest(container["image"], execution)
            ),
            port=container.get("containerPort", DEFAULT_PORT),
            environment=told,
            role=own,
            health_path=request.get("healthCheckPath") or DEFAULT_HEALTH,
            folder=self._settings.state / "tasks" / number,
            log=LogStream(self._settings, group, stream, execution),
        )

    def _role(self, arn: str, service: str) -> RoleSession:
        return assume_service_role(self._settings, arn, service, "ecs")

    def _secret(self, value_from: str, role: RoleSession) -> str:
        """A whole secret of Secrets Manager's, by its ARN."""
        client: Any = aws.client(self._settings, "secretsmanager", role)
        try:
            return str(client.get_secret_value(SecretId=value_from)["SecretString"])
        except ClientError as error:
            raise ServiceFailed(
                "ResourceInitializationError: unable to pull secrets or registry auth: unable to "
                f"retrieve secret from asm: {error}"
            ) from error

    def _digest(self, image: str, role: RoleSession) -> str:
        match = REFERENCE.match(image)
        if match is None:
            raise ServiceFailed(f"CannotPullContainerError: {image} is in no ECR registry")
        ecr: Any = aws.client(self._settings, "ecr", role)
        wanted = (
            {"imageDigest": match["digest"]}
            if match["digest"]
            else {"imageTag": match["tag"] or "latest"}
        )
        repository = {"repositoryName": match["repository"]}
        try:
            ecr.get_authorization_token()
            found = ecr.batch_get_image(**repository, imageIds=[wanted])["images"]
            digest = digest_in(found[0]["imageManifest"]) if found else None
            if digest:
                # Pulling takes this permission as well; there are no layers to hand out.
                ecr.batch_check_layer_availability(**repository, layerDigests=[digest])
        except ClientError as error:
            raise ServiceFailed(f"CannotPullContainerError: {error}") from error
        if digest is None:
            raise ServiceFailed(f"CannotPullContainerError: {image}: not found")
        return digest
