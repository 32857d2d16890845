"""What a deploy would make, read from the synthesized templates."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Template = Mapping[str, Any]
# What a service finds by its name, so that a second one of that name can't be made.
NAMED = {
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SSM::Parameter": "Name",
    "AWS::SageMaker::Endpoint": "EndpointName",
}


class NoSuchStack(ValueError):
    """The message names those there are."""


@dataclass(frozen=True)
class Build:
    """Not run where the model bucket has the object `manifest`. `jobs` begins the names of the
    training jobs that it starts; empty where it starts none."""

    stack: str
    quota: str
    manifest: str
    jobs: str


@dataclass(frozen=True)
class Fleet:
    """An endpoint's instances: `first` when it is made, up to `most` as it scales."""

    stack: str
    endpoint: str
    instance_type: str
    first: int
    most: int


@dataclass(frozen=True)
class Named:
    """A resource of a fixed name; `type` is CloudFormation's."""

    stack: str
    type: str
    name: str


@dataclass(frozen=True)
class Plan:
    """`stacks` are those asked for and all that they depend on."""

    stacks: tuple[str, ...]
    builds: tuple[Build, ...]
    fleets: tuple[Fleet, ...]
    named: tuple[Named, ...]
    bootstrap: Mapping[str, int]
    """The least version by the parameter that says it."""


def read_plan(assembly: Path, chosen: Sequence[str] = ()) -> Plan:
    """From a cloud assembly, of all its stacks where none is chosen. Raises NoSuchStack."""
    artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    stacks = {
        name: artifact
        for name, artifact in artifacts.items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    for name in chosen:
        if name not in stacks:
            raise NoSuchStack(f"{name} is none of the app's stacks: {', '.join(stacks)}")
    waiting, wanted = [*(chosen or stacks)], set[str]()
    while waiting:
        name = waiting.pop()
        if name in stacks and name not in wanted:
            wanted.add(name)
            waiting += stacks[name].get("dependencies", ())
    names = tuple(name for name in stacks if name in wanted)
    templates = {
        name: json.loads((assembly / stacks[name]["properties"]["templateFile"]).read_text())
        for name in names
    }
    bootstrap: dict[str, int] = {}
    for name in names:
        properties = stacks[name]["properties"]
        parameter = properties["bootstrapStackVersionSsmParameter"]
        least = properties["requiresBootstrapStackVersion"]
        bootstrap[parameter] = max(least, bootstrap.get(parameter, 0))
    return Plan(
        names,
        tuple(build for item in templates.items() for build in _builds(*item)),
        tuple(fleet for item in templates.items() for fleet in _fleets(*item)),
        tuple(named for item in templates.items() for named in _named(*item)),
        bootstrap,
    )


def _resources(template: Template, type: str) -> Iterator[tuple[str, Template]]:
    """Logical ids and properties."""
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == type:
            yield logical_id, resource.get("Properties", {})


def _builds(stack: str, template: Template) -> Iterator[Build]:
    for _, run in _resources(template, "Custom::BuildStep"):
        jobs = run.get("Jobs", {}).get("NamePrefix", "")
        yield Build(stack, run["Quota"], run["Output"]["Manifest"], jobs)


def _fleets(stack: str, template: Template) -> Iterator[Fleet]:
    configs = dict(_resources(template, "AWS::SageMaker::EndpointConfig"))
    targets = _resources(template, "AWS::ApplicationAutoScaling::ScalableTarget")
    most = {target["ResourceId"].split("/")[1]: _most(target) for _, target in targets}
    for _, endpoint in _resources(template, "AWS::SageMaker::Endpoint"):
        (config,) = endpoint["EndpointConfigName"]["Fn::GetAtt"][:1]
        (variant,) = configs[config]["ProductionVariants"]
        name, first = endpoint["EndpointName"], variant["InitialInstanceCount"]
        yield Fleet(stack, name, variant["InstanceType"], first, most.get(name, first))


def _most(target: Template) -> int:
    actions = (each["ScalableTargetAction"] for each in target.get("ScheduledActions", ()))
    return max(each["MaxCapacity"] for each in (target, *actions))


def _named(stack: str, template: Template) -> Iterator[Named]:
    for type, member in NAMED.items():
        for _, properties in _resources(template, type):
            if isinstance(name := properties.get(member), str):
                yield Named(stack, type, name)
