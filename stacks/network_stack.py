"""A network of the app's own, without a way to the internet: by a setting."""

from aws_cdk import Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from sd_contract.registration import BULK
from stacks.components.grants import grant
from stacks.components.log_group import LogGroup
from stacks.components.network import Network
from stacks.components.service_role import ServiceRole
from stacks.settings import Settings

# Nothing is ever connected to it, so no other network's addresses matter. 507 of them a zone; an
# instance takes two (developer guide, host-vpc).
CIDR, ZONE_BITS = "10.0.0.0/20", 23
HTTPS = ec2.Port.tcp(443)
# All that the roles of models and training jobs may do in S3.
S3_ACTIONS = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject")


class NetworkStack(Stack):
    """Exposes `network`: a subnet in each zone, whose routes lead to S3 and to the interface
    endpoints, and nowhere else.

    What SageMaker brings in and out for a container takes this way, and so does what a bulk job's
    container itself writes. Images and logs don't: SageMaker pulls and writes them on its own side
    (botocore, ImageConfig: "Platform").
    """

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        told = settings.network
        self._vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(CIDR),
            **({"availability_zones": [*told.zones]} if told.zones else {"max_azs": 2}),
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Models",
                    subnet_type=ec2.SubnetType.PRIVATE_ISOLATED,
                    cidr_mask=ZONE_BITS,
                )
            ],
        )
        models = ec2.SecurityGroup(
            self,
            "Models",
            vpc=self._vpc,
            description="Models and training jobs: nothing comes in",
            allow_all_outbound=False,
        )
        # Where to, the routes say. Instances of one job don't talk to each other here.
        models.add_egress_rule(ec2.Peer.any_ipv4(), HTTPS, "Endpoints of AWS in this network")
        self._reach_s3()
        if services := [*(told.interface_endpoints or ()), *_needed(settings)]:
            self._reach(models, sorted(set(services)))
        self._log_refused(settings.api.log_days)
        subnets = tuple(subnet.subnet_id for subnet in self._vpc.isolated_subnets)
        self.network = Network(subnets, (models.security_group_id,))
        # With variants and without: what their stacks still use can't be taken away.
        for value in (*self.network.subnets, *self.network.security_groups):
            self.export_value(value)

    def _reach_s3(self) -> None:
        """This account's buckets, for this account's roles: no way out for anything else."""
        s3 = self._vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        ours = {"aws:PrincipalAccount": self.account, "s3:ResourceAccount": self.account}
        s3.add_to_policy(
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=[*S3_ACTIONS],
                resources=["*"],
                conditions={"StringEquals": ours},
            )
        )

    def _reach(self, models: ec2.SecurityGroup, services: list[str]) -> None:
        inside = ec2.SecurityGroup(
            self,
            "Endpoints",
            vpc=self._vpc,
            description="Services of AWS, for models and training jobs",
            allow_all_outbound=False,
        )
        inside.add_ingress_rule(models, HTTPS, "Models and training jobs")
        for service in services:
            self._vpc.add_interface_endpoint(
                "".join(part.capitalize() for part in service.replace("-", ".").split(".")),
                service=ec2.InterfaceVpcEndpointAwsService(service),
                security_groups=[inside],
                open=False,
            )

    def _log_refused(self, days: int) -> None:
        """What security groups refuse: nothing, unless somebody tries something."""
        log = LogGroup(self, "Refused", days=days)
        role = ServiceRole(self, "FlowLogs", service="vpc-flow-logs.amazonaws.com")
        # As CDK's own FlowLogDestination.
        actions = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        grant(role, actions, log.log_group_arn)
        flow_log = ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_id=self._vpc.vpc_id,
            resource_type="VPC",
            traffic_type="REJECT",
            log_group_name=log.log_group_name,
            deliver_logs_permission_arn=role.role_arn,
        )
        flow_log.node.add_dependency(role.node.find_child("DefaultPolicy"))


def _needed(settings: Settings) -> tuple[str, ...]:
    """What containers call: none but a bulk job's has a network at all, and that one asks the
    signer."""
    bulk = settings.batch.enabled and any(BULK in each.serve for each in settings.variants)
    return ("lambda",) if bulk and settings.api.c2pa.on else ()
