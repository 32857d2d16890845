"""What is left of the app in an account."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from operations.account import Clients, is_there
from operations.teardown.kinds import KINDS
from stacks.settings import Names
from stacks.settings.names import TAKEN

TOOLKIT = "CDKToolkit"
TRAINING_LOG = "/aws/sagemaker/TrainingJobs"
STACK = "AWS::CloudFormation::Stack"
GONE = "DELETE_COMPLETE"
# Whose templates keep something. A variant's stack may have any name, so one of another app can be
# called like it ("DemoDataStack"): what that has kept is not this app's to delete.
KEEPING = ("Api", "Batch", "Gallery", "Storage")


@dataclass(frozen=True)
class Left:
    """`type` is CloudFormation's; `of` the stack that made it, or what it is."""

    type: str
    name: str
    of: str

    @property
    def command(self) -> str:
        if self.type == STACK:
            return f"aws cloudformation delete-stack --stack-name {self.name}, then its bucket"
        return KINDS[self.type].command.format(self.name)

    def __str__(self) -> str:
        return f"{self.type} {self.name} ({self.of})\n    {self.command}"


def standing(clients: Clients, names: Names, variants: Iterable[str]) -> dict[str, str]:
    """The app's stacks that there are, with their status. A variant's that the settings don't have
    any more isn't told, but what it depends on is, and can't have gone before it."""
    titles = [each.capitalize() for each in (*TAKEN, *variants)]
    ours = {names.stack(f"{title}{part}") for title in titles for part in ("", "Compile")}
    pages = clients("cloudformation").get_paginator("describe_stacks").paginate()
    return {
        stack["StackName"]: stack["StackStatus"]
        for page in pages
        for stack in page["Stacks"]
        if stack["StackName"] in ours
    }


def left(clients: Clients, names: Names, variants: Iterable[str]) -> list[Left]:
    """What is this app's, in the order of its removal. CloudFormation tells of a deleted stack for
    90 days; of what is older only what has a fixed name is found. `variants` are the settings':
    another's endpoint may have a name of the same form ("sd-turbo")."""
    keeping = {names.stack(name) for name in KEEPING}
    kept = _skipped(clients, lambda stack: stack in keeping)
    found = {(each.type, each.name): each for each in kept}
    for each in _named(clients, names, variants):
        found.setdefault((each.type, each.name), each)
    there = [each for each in found.values() if KINDS[each.type].exists(clients, each.name)]
    return sorted(there, key=lambda each: [*KINDS].index(each.type))


def shared(clients: Clients) -> list[Left]:
    """What others in the account may use as well."""
    found = []
    if KINDS["AWS::Logs::LogGroup"].exists(clients, TRAINING_LOG):
        found.append(Left("AWS::Logs::LogGroup", TRAINING_LOG, "the account's training jobs"))
    cloudformation = clients("cloudformation")
    if is_there(lambda: cloudformation.describe_stacks(StackName=TOOLKIT)):
        found.append(Left(STACK, TOOLKIT, "of cdk bootstrap, for all CDK apps"))
    return found + [
        each
        for each in _skipped(clients, lambda name: name == TOOLKIT)
        if KINDS[each.type].exists(clients, each.name)
    ]


def _skipped(clients: Clients, wanted: Callable[[str], bool]) -> Iterator[Left]:
    """Of deleted stacks, what their templates keep."""
    cloudformation = clients("cloudformation")
    pages = cloudformation.get_paginator("list_stacks").paginate(StackStatusFilter=[GONE])
    for stack in [stack for page in pages for stack in page["StackSummaries"]]:
        if wanted(stack["StackName"]):
            resources = cloudformation.get_paginator("list_stack_resources")
            for page in resources.paginate(StackName=stack["StackId"]):
                for resource in page["StackResourceSummaries"]:
                    if resource["ResourceStatus"] == "DELETE_SKIPPED":
                        name = resource["PhysicalResourceId"]
                        yield Left(resource["ResourceType"], name, stack["StackName"])


def _named(clients: Clients, names: Names, variants: Iterable[str]) -> Iterator[Left]:
    """What a deploy would run into: made by hand, or by a deploy that was cut off."""
    endpoints, logs = set[str](), set[str]()
    for variant in variants:
        endpoints |= {names.endpoint(variant), names.async_endpoint(variant)}
        logs |= {names.container_log(variant), names.async_container_log(variant)}
    for page in clients("sagemaker").get_paginator("list_endpoints").paginate():
        for endpoint in page["Endpoints"]:
            if endpoint["EndpointName"] in endpoints:
                yield Left("AWS::SageMaker::Endpoint", endpoint["EndpointName"], "no stack's")
    for path in (names.registrations, names.fleets):
        for page in clients("ssm").get_paginator("get_parameters_by_path").paginate(Path=path):
            for parameter in page["Parameters"]:
                yield Left("AWS::SSM::Parameter", parameter["Name"], "no stack's")
    prefix = names.container_log("")
    pages = clients("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    for page in pages:
        for group in page["logGroups"]:
            if group["logGroupName"] in logs:
                yield Left("AWS::Logs::LogGroup", group["logGroupName"], "containers' log")
