"""Puts the rooms together. Imported after MiniStack's environment is prepared."""

from __future__ import annotations

from collections.abc import Callable

from local_cloud.autoscaling.cloudformation import register_scaling_types
from local_cloud.autoscaling.service import POLICY_ARN, AutoScaling
from local_cloud.codebuild.service import CodeBuildService
from local_cloud.docker.registry import AwsRegistry, registry_accounts
from local_cloud.docker.store import ImageStore
from local_cloud.ecs_express.cloudformation import register_express_types
from local_cloud.ecs_express.service import ExpressServices
from local_cloud.ministack.alarms import Alarms
from local_cloud.ministack.api_gateway import correct_api_gateway
from local_cloud.ministack.budgets import register_budgets
from local_cloud.ministack.codebuild import install_codebuild
from local_cloud.ministack.corrections import correct_cloudformation
from local_cloud.ministack.dashboards import check_dashboards
from local_cloud.ministack.deliveries import correct_deliveries
from local_cloud.ministack.ecr import install_registry
from local_cloud.ministack.function_logs import install_function_logs
from local_cloud.ministack.function_output import read_function_output
from local_cloud.ministack.identity import create_deployer, enter_account
from local_cloud.ministack.loops import correct_loops
from local_cloud.ministack.networks import register_network_types
from local_cloud.ministack.queue_metrics import QueueMetrics
from local_cloud.ministack.queues import correct_queues
from local_cloud.ministack.regions import install_offerings
from local_cloud.ministack.resource_arns import install_resource_arns
from local_cloud.ministack.routes import (
    SageMakerRoutes,
    install_sagemaker,
    install_scaling,
    install_service_quotas,
    install_vectors,
)
from local_cloud.ministack.secrets import correct_secrets
from local_cloud.ministack.transactions import correct_transactions
from local_cloud.ministack.user_pools import correct_user_pools
from local_cloud.ministack.web_acls import register_associations
from local_cloud.s3vectors.cloudformation import register_vector_types
from local_cloud.s3vectors.service import S3Vectors
from local_cloud.sagemaker.cloudformation import register_sagemaker_types
from local_cloud.sagemaker.control import SageMakerControl
from local_cloud.sagemaker.runtime import InvokeEndpoint
from local_cloud.sagemaker.scaling import VariantCapacities
from local_cloud.service_quotas import ServiceQuotas, instance_types
from local_cloud.settings import CloudSettings


def assemble(settings: CloudSettings) -> Callable[[], None]:
    """Register everything with MiniStack, which must not serve yet. What is given ends every
    process that the services have started."""
    enter_account(settings)
    alarms = Alarms(settings)
    alarms.install()
    control = SageMakerControl(settings, alarms)
    scaling = AutoScaling(settings, VariantCapacities(control), alarms)
    control.endpoints.scaling = scaling.operations
    install_sagemaker(
        SageMakerRoutes(
            settings,
            control.call,
            InvokeEndpoint(settings, control.endpoints),
            control.invoke_asynchronously,
            scaling.operations.scales,
        )
    )
    install_scaling(scaling.call)
    install_service_quotas(ServiceQuotas(settings).call)
    vectors = S3Vectors(settings)
    install_vectors(settings, vectors.call)
    types = {name.removeprefix("ml.") for name in instance_types(settings.region)}
    install_offerings(settings, types)
    register_sagemaker_types(control)
    register_scaling_types(scaling.call)
    register_vector_types(vectors.call)
    register_associations()
    register_network_types(settings)
    register_budgets(settings.account)
    services = ExpressServices(settings)
    register_express_types(services)
    builds = CodeBuildService(settings)
    install_codebuild(builds.start_build, builds.stop_build)
    registry, store = AwsRegistry(settings, registry_accounts()), ImageStore(settings.images)
    install_registry(settings, registry.batch_get_image, store.config)
    install_resource_arns(settings)
    correct_cloudformation()
    check_dashboards()
    correct_api_gateway(settings)
    correct_loops()
    correct_queues(settings)
    correct_secrets()
    correct_user_pools()
    correct_deliveries(settings)
    correct_transactions(settings)
    ends = [QueueMetrics(settings).start()]
    read_function_output()
    install_function_logs(settings)
    create_deployer(settings)
    ends += [alarms.start({POLICY_ARN: scaling.on_alarm}), scaling.start()]
    ends += [services.stop, builds.stop, control.stop]

    def stop() -> None:
        for end in ends:
            end()

    return stop
