"""The alarms of what stands before the endpoints: the gateway, the authorizer, the front door."""

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.components.alarms import Alarm, Metric, Trouble, alarm_of_errors
from stacks.components.inference_api import STAGE, InferenceApi
from stacks.settings import Names


class ApiAlarms(Construct):
    """What a function answers as a 5xx the gateway counts, by its name and stage (developer guide,
    api-gateway-metrics-and-dimensions), whoever it is of."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        names: Names,
        front_door: lambda_.IFunction,
        api: InferenceApi,
    ) -> None:
        super().__init__(scope, id)
        Alarm(
            self,
            "ServerErrors",
            names=names,
            trouble=Trouble(
                f"{names.prefix}: the API answers with 5xx",
                (
                    'In the front door\'s log, filter { $.status >= 500 }: "model", "error" and '
                    '"detail" say whose fault it is',
                    "A model's: its own alarms say more. model_overloaded: more instances "
                    "(scaling.max_instances). Nothing in the log: the authorizer or the batches' "
                    "function (their logs)",
                    "If it began with a deploy of the API's stack, deploy what was before",
                ),
            ),
            metric=Metric("AWS/ApiGateway", "5XXError", {"ApiName": names.prefix, "Stage": STAGE}),
            threshold=3,
            periods=2,
        )
        alarm_of_errors(
            self,
            "FrontDoor",
            names,
            front_door,
            Trouble(
                f"{names.prefix}: the front door's function fails",
                (
                    "Read its log: a traceback of an import, Task timed out, or out of memory",
                    "If it began with a deploy of the API's stack, deploy what was before",
                    "If it is ended at its time limit, the parameter store, S3 or SageMaker answer "
                    "slowly: see AWS's health page",
                ),
            ),
        )
        if api.authorizer:
            alarm_of_errors(
                self,
                "Authorizer",
                names,
                api.authorizer,
                Trouble(
                    f"{names.prefix}: the authorizer fails, so requests are refused with 500",
                    (
                        "Read the log of the function KeyReader of the API's stack",
                        "If it began with a deploy of that stack, deploy what was before",
                        "If it times out, Lambda is slow to start it: see AWS's health page",
                    ),
                ),
            )
