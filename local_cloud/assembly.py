"""Puts the added services together. Imported after the environment is prepared."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from ministack.services import iam

from local_cloud.bridge import enter_account
from local_cloud.cfn_sagemaker import register_sagemaker_types
from local_cloud.codebuild_service import CodeBuildService, install_codebuild
from local_cloud.corrections import correct
from local_cloud.extensions import SageMakerService, install_sagemaker
from local_cloud.registry import install_registry
from local_cloud.sagemaker_control import SageMakerControl
from local_cloud.sagemaker_runtime import SageMakerRuntime
from local_cloud.settings import CloudSettings

DEPLOYER = "CloudAdmin"


ADMINISTRATOR = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@dataclass(frozen=True)
class Services:
    control: SageMakerControl
    builds: CodeBuildService

    def stop(self) -> None:
        """End every process the services started."""
        self.builds.stop()
        self.control.stop()


def assemble(settings: CloudSettings) -> Services:
    """Register everything with MiniStack, which must not serve yet."""
    enter_account(settings)
    control = SageMakerControl(settings)
    install_sagemaker(settings, SageMakerService(control, SageMakerRuntime(control)))
    register_sagemaker_types(control)
    builds = CodeBuildService(settings)
    install_codebuild(builds)
    correct()
    install_registry(settings)
    create_deployer(settings)
    return Services(control, builds)


def create_deployer(settings: CloudSettings) -> None:
    """An administrator's user with an access key, in `<state>/deployer.json`, as on AWS."""
    iam._create_user({"UserName": [DEPLOYER]})
    iam._put_user_policy(
        {
            "UserName": [DEPLOYER],
            "PolicyName": ["administrator"],
            "PolicyDocument": [json.dumps(ADMINISTRATOR)],
        }
    )
    access_key, secret_key = f"AKIA{secrets.token_hex(8).upper()}", secrets.token_hex(20)
    iam._access_keys[access_key] = {
        "UserName": DEPLOYER,
        "AccessKeyId": access_key,
        "SecretAccessKey": secret_key,
        "Status": "Active",
        "CreateDate": iam._now(),
    }
    path = settings.state / "deployer.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"access_key": access_key, "secret_key": secret_key}))
