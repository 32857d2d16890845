"""Who acts: the account that a thread works in, roles that services assume, what they may do."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import set_request_account_id, set_request_region
from ministack.services import iam, sts

from local_cloud.settings import CloudSettings

DEPLOYER = "CloudAdmin"
ADMINISTRATOR = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


class RoleUnusable(Exception):
    """A service cannot act under the role it was given; the message is what AWS would say."""


@dataclass(frozen=True)
class RoleSession:
    """Temporary credentials of a role, as a service holds them when it acts for the account."""

    role_arn: str
    access_key: str
    secret_key: str
    token: str

    def environment(self) -> dict[str, str]:
        """The variables an AWS SDK reads them from."""
        return {name.upper(): value for name, value in self.client_arguments().items()}

    def client_arguments(self) -> dict[str, str]:
        """The same for `boto3.client`."""
        return {
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "aws_session_token": self.token,
        }


def enter_account(settings: CloudSettings) -> None:
    """Make this thread see the stores of the cloud's account and region.

    MiniStack keys them by context variables that a plain thread doesn't have.
    """
    set_request_account_id(settings.account)
    set_request_region(settings.region)


def run_in_account(
    settings: CloudSettings, work: Callable[[], None], name: str
) -> threading.Thread:
    """Run `work` on a thread of its own, within the account and region of this cloud."""

    def scoped() -> None:
        enter_account(settings)
        work()

    # A plain thread starts with an empty context. That is wanted: a copied one would carry the
    # request's signature, and checks made for a role would be refused as badly signed.
    thread = threading.Thread(target=scoped, name=name, daemon=True)
    thread.start()
    return thread


def repeat_in_account(
    settings: CloudSettings, work: Callable[[], None], every_s: float, name: str
) -> Callable[[], None]:
    """As `run_in_account`, again and again from `every_s` on; what is given ends it."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every_s):
            work()

    run_in_account(settings, run, name)
    return ended.set


def assume_service_role(
    settings: CloudSettings, role_arn: str, service: str, session_name: str
) -> RoleSession:
    """A session of `role_arn` for an AWS service, if the role exists and trusts that service, which
    says for which account it acts."""
    role_name = role_arn.rsplit("/", 1)[-1]
    role = iam._roles.get(role_name)
    if role is None:
        raise RoleUnusable(f"Role {role_arn} does not exist")
    if not _trusts(role.get("AssumeRolePolicyDocument"), service, settings):
        raise RoleUnusable(
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows "
            f"principal '{service}' to assume the role."
        )
    key = f"ASIA{secrets.token_hex(8).upper()}"
    session = RoleSession(role_arn, key, secrets.token_hex(32), secrets.token_hex(32))
    sts.register_session(
        session.access_key,
        {
            "Arn": f"arn:aws:sts::{settings.account}:assumed-role/{role_name}/{session_name[:64]}",
            "UserId": f"{role_name}:{session_name[:64]}",
            "SecretAccessKey": session.secret_key,
            "SessionToken": session.token,
        },
    )
    return session


def _trusts(document: str | dict[str, Any] | None, service: str, settings: CloudSettings) -> bool:
    policy = json.loads(document) if isinstance(document, str) else document or {}
    context = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account="",
        action="sts:AssumeRole",
        resource_arn="*",
        region=settings.region,
        service_context={"aws:sourceaccount": settings.account},
    )
    for statement in policy.get("Statement", []):
        services = (statement.get("Principal") or {}).get("Service", [])
        services = [services] if isinstance(services, str) else services
        conditions = statement.get("Condition") or {}
        if (
            statement.get("Effect") == "Allow"
            and service in services
            and iam_evaluator._conditions_met(conditions, context)
        ):
            return True
    return False


def allowed(settings: CloudSettings, access_key: str, action: str, resource: str) -> bool:
    """Whether the holder of `access_key` may do `action` on `resource`."""
    return denied(settings, access_key, action, resource) is None


def denied(
    settings: CloudSettings,
    access_key: str,
    action: str,
    resource: str,
    context: Mapping[str, Any] | None = None,
) -> str | None:
    """Who the holder of `access_key` is that may not do `action` on `resource`; None: it may."""
    service = action.split(":", 1)[0]
    verdict = iam_evaluator.enforce(
        access_key, action, service, settings.region, resource_arn=resource,
        service_context=dict(context or {}),
    )  # fmt: skip
    return None if verdict is None else str(getattr(verdict, "principal_arn", "unknown"))


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
