"""A web app as an ECS Express Gateway service: AWS makes the load balancer, its certificate and
address, the Fargate tasks and their scaling."""

from collections.abc import Mapping, Sequence

from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.components.app_image import AppImage
from stacks.components.grants import (
    REGISTRY_LOGIN,
    grant,
    grant_log_writes,
    grant_pull,
    grant_unscoped,
)
from stacks.components.log_group import LogGroup
from stacks.components.service_role import ServiceRole

PORT = 8501
HEALTH = "/_stcore/health"
"""Streamlit's own, and open to all: it says "ok"."""
# In units of which 1024 are a virtual core, and MiB: Streamlit with its packages takes some 250 MB,
# a user's session and pictures some more.
CPU, MEMORY = 512, 1024
INFRASTRUCTURE = "service-role/AmazonECSInfrastructureRoleforExpressGatewayServices"


class ExpressService(Construct):
    """`url` has no slash at its end; `task_role` is what the app itself may do: nothing, until it
    is granted something. `secrets` are given to it as variables, by ECS.

    One task and no more: Streamlit keeps a session, and the files it shows, in its own memory
    (docs.streamlit.io, architecture), and the load balancer sends each request anywhere.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: AppImage,
        days: int,
        subnets: Sequence[str] | None,
        environment: Mapping[str, str],
        secrets: Mapping[str, secretsmanager.ISecret],
    ) -> None:
        super().__init__(scope, id)
        log = LogGroup(self, "Log", days=days)
        # "For tasks of this account alone": developer guide, task-iam-roles.
        self.task_role = ServiceRole(self, "Task", service="ecs-tasks.amazonaws.com")
        execution = self._execution_role(image, log, list(secrets.values()))
        infrastructure = self._infrastructure_role()
        express = ecs.CfnExpressGatewayService
        told = {**environment, "STREAMLIT_SERVER_PORT": str(PORT)}
        service = express(
            self,
            "Service",
            execution_role_arn=execution.role_arn,
            infrastructure_role_arn=infrastructure.role_arn,
            task_role_arn=self.task_role.role_arn,
            cpu=str(CPU),
            memory=str(MEMORY),
            health_check_path=HEALTH,
            network_configuration=(
                express.ExpressGatewayServiceNetworkConfigurationProperty(subnets=list(subnets))
                if subnets
                else None
            ),
            scaling_target=express.ExpressGatewayScalingTargetProperty(
                min_task_count=1, max_task_count=1
            ),
            primary_container=express.ExpressGatewayContainerProperty(
                image=image.uri,
                container_port=PORT,
                aws_logs_configuration=express.ExpressGatewayServiceAwsLogsConfigurationProperty(
                    log_group=log.log_group_name, log_stream_prefix="app"
                ),
                environment=[
                    express.KeyValuePairProperty(name=name, value=value)
                    for name, value in told.items()
                ],
                secrets=[
                    express.SecretProperty(name=name, value_from=secret.secret_arn)
                    for name, secret in secrets.items()
                ],
            ),
        )
        service.node.add_dependency(execution, infrastructure, self.task_role, image.ready)
        # A host without its scheme: aws-samples and others prefix it.
        self.url = f"https://{service.attr_endpoint}"

    def _execution_role(
        self, image: AppImage, log: LogGroup, secrets: Sequence[secretsmanager.ISecret]
    ) -> iam.Role:
        """What ECS does before the app runs: the image, the log, the secrets."""
        role = ServiceRole(self, "Execution", service="ecs-tasks.amazonaws.com")
        grant_pull(role, image.repository.repository_arn)
        grant_unscoped(role, REGISTRY_LOGIN)
        grant_log_writes(role, log)
        if secrets:
            arns = [secret.secret_arn for secret in secrets]
            grant(role, ["secretsmanager:GetSecretValue"], *arns)
        return role

    def _infrastructure_role(self) -> iam.Role:
        """What ECS makes around the tasks."""
        policy = iam.ManagedPolicy.from_aws_managed_policy_name(INFRASTRUCTURE)
        role = iam.Role(
            self,
            "Infrastructure",
            # As its guide has it (developer guide, infrastructure_IAM_role).
            assumed_by=iam.ServicePrincipal("ecs.amazonaws.com"),
            managed_policies=[policy],
        )
        acknowledge(
            role,
            "AWS's own for what ECS makes in the account's name, which is AWS's to decide: the "
            "policy was changed five times in the service's first three months. ECS alone may take "
            "the role, and the app can't.",
            f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{INFRASTRUCTURE}]",
        )
        return role
