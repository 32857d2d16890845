"""What an earlier deploy left that this one would run into."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from operations.account import Clients, answer_or_none, is_there, log_group_exists
from operations.preflight.finding import Finding, fails, ok, unknown
from operations.preflight.plan import Named, Plan

# The CDK CLI deletes these and makes them anew (aws-cdk, deploy-stack: isCreationFailure).
MADE_ANEW = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS")


def statuses(cloudformation: Any, stacks: Iterable[str]) -> Mapping[str, str]:
    """Of those that there are."""
    answers = {stack: _described(cloudformation, stack) for stack in stacks}
    return {stack: each["Stacks"][0]["StackStatus"] for stack, each in answers.items() if each}


def _described(cloudformation: Any, stack: str) -> Any:
    return answer_or_none(lambda: cloudformation.describe_stacks(StackName=stack))


def stuck(stacks: Mapping[str, str]) -> Iterator[Finding]:
    """Stacks, by status, that no deploy can change."""
    for stack, status in stacks.items():
        subject = f"stack {stack}"
        if status == "UPDATE_ROLLBACK_FAILED":
            advice = f"aws cloudformation continue-update-rollback --stack-name {stack}"
            yield fails(subject, status, advice)
        elif status == "DELETE_FAILED":
            events = f"aws cloudformation describe-stack-events --stack-name {stack}"
            yield fails(subject, status, f"{events} says why; then npx cdk destroy {stack}")
        elif status.endswith("_IN_PROGRESS") and status not in MADE_ANEW:
            yield unknown(subject, status, "somebody deploys: wait until it is done, ask again")
        else:
            yield ok(subject, status)


@dataclass(frozen=True)
class Kind:
    """How to see whether one is there, and what removes it."""

    exists: Callable[[Clients, str], bool]
    remove: str


KINDS: Mapping[str, Kind] = {
    "AWS::SageMaker::Endpoint": Kind(
        lambda clients, name: is_there(
            lambda: clients("sagemaker").describe_endpoint(EndpointName=name)
        ),
        "aws sagemaker delete-endpoint --endpoint-name",
    ),
    "AWS::Logs::LogGroup": Kind(
        lambda clients, name: log_group_exists(clients("logs"), name),
        "aws logs delete-log-group --log-group-name",
    ),
    "AWS::SSM::Parameter": Kind(
        lambda clients, name: is_there(lambda: clients("ssm").get_parameter(Name=name)),
        "aws ssm delete-parameter --name",
    ),
    "AWS::Lambda::Function": Kind(
        lambda clients, name: is_there(
            lambda: clients("lambda").get_function_configuration(FunctionName=name)
        ),
        "aws lambda delete-function --function-name",
    ),
}


def in_the_way(clients: Clients, plan: Plan, stacks: Mapping[str, str]) -> Iterator[Finding]:
    """What has a name that a stack which isn't there would give."""
    awaited = [named for named in plan.named if stacks.get(named.stack, MADE_ANEW[0]) in MADE_ANEW]
    found = [named for named in awaited if KINDS[named.type].exists(clients, named.name)]
    for named in found:
        yield fails(
            f"{named.type} {named.name}",
            f"is there already, without {named.stack}, which would make it",
            f"if it is of no use any more: {_removal(named)}",
        )
    if awaited and not found:
        yield ok("names", f"none of the {len(awaited)} that new stacks give is taken")


def _removal(named: Named) -> str:
    return f"{KINDS[named.type].remove} {named.name}"
