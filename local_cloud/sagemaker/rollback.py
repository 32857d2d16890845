"""The alarms that send an endpoint's update back (AutoRollbackConfiguration)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_cloud.ministack.alarms import Alarms
from local_cloud.ministack.identity import allowed
from local_cloud.sagemaker.resources import sagemaker_role
from local_cloud.settings import CloudSettings


class AlarmTripped(Exception):
    """One of an update's alarms is in ALARM, or can't be looked at."""


class AutoRollback:
    """What one deployment watches. `role_arn` is its model's execution role."""

    def __init__(
        self, settings: CloudSettings, alarms: Alarms, deployment: Mapping[str, Any], role_arn: str
    ) -> None:
        watched = (deployment.get("AutoRollbackConfiguration") or {}).get("Alarms", ())
        self._settings, self._alarms, self._role_arn = settings, alarms, role_arn
        self._names = [alarm["AlarmName"] for alarm in watched]

    def check_allowed(self) -> None:
        """AlarmTripped unless the execution role may see the alarms, as the developer guide
        (deployment-guardrails-configuration) says it has to."""
        for name in self._names:
            arn = self._settings.arn("cloudwatch", f"alarm:{name}")
            role = sagemaker_role(self._settings, self._role_arn)
            if not allowed(self._settings, role.access_key, "cloudwatch:DescribeAlarms", arn):
                raise AlarmTripped(
                    f"The role {self._role_arn} is not authorized to perform: "
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
