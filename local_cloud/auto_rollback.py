"""The alarms that send an endpoint's update back (AutoRollbackConfiguration)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from local_cloud.alarms import Alarms
from local_cloud.bridge import allowed
from local_cloud.model_images import sagemaker_role
from local_cloud.settings import CloudSettings


class AlarmTripped(Exception):
    """One of an update's alarms is in ALARM, or can't be looked at."""


class AutoRollback:
    """What one deployment watches. `roles` are its models' execution roles, by ARN."""

    def __init__(
        self,
        settings: CloudSettings,
        alarms: Alarms,
        deployment: Mapping[str, Any],
        roles: Iterable[str],
    ) -> None:
        watched = (deployment.get("AutoRollbackConfiguration") or {}).get("Alarms", ())
        self._settings, self._alarms = settings, alarms
        self._names = [alarm["AlarmName"] for alarm in watched]
        self._roles = set(roles)

    def check_allowed(self) -> None:
        """AlarmTripped unless the execution roles may see the alarms, as the developer guide
        (deployment-guardrails-configuration) says they have to."""
        place = f"{self._settings.region}:{self._settings.account}"
        for name in self._names:
            arn = f"arn:aws:cloudwatch:{place}:alarm:{name}"
            for role_arn in self._roles:
                role = sagemaker_role(self._settings, role_arn, "SageMaker")
                if not allowed(self._settings, role.access_key, "cloudwatch:DescribeAlarms", arn):
                    raise AlarmTripped(
                        f"The role {role_arn} is not authorized to perform: "
                        f"cloudwatch:DescribeAlarms on resource: {arn}"
                    )

    def check(self) -> None:
        """AlarmTripped unless all alarms are quiet.

        An alarm counts from the deployment's begin on: "if your old fleet trips the alarm during
        the deployment, SageMaker terminates your deployment" (the same page).
        """
        for name in self._names:
            state = self._alarms.state(name)
            if state in (None, "ALARM"):
                what = "doesn't exist" if state is None else "is in ALARM"
                # The first sentence is botocore's of AutoRollbackConfig.
                raise AlarmTripped(
                    "If any alarms are tripped during a deployment, SageMaker rolls back the "
                    f"deployment. Alarm {name} {what}."
                )
