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
    """An endpoint's instances: `first` when it is made, `idle` while nothing is asked of it, up to
    `most` as it scales."""

    stack: str
    endpoint: str
    instance_type: str
    first: int
    idle: int
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
    # Of the one that the target's ResourceId has the name of.
    scaled = {
        logical_id: _capacities(target)
        for _, target in _resources(template, "AWS::ApplicationAutoScaling::ScalableTarget")
        for logical_id in _references(target["ResourceId"])
    }
    for logical_id, endpoint in _resources(template, "AWS::SageMaker::Endpoint"):
        config, _ = endpoint["EndpointConfigName"]["Fn::GetAtt"]
        (variant,) = configs[config]["ProductionVariants"]
        first = variant["InitialInstanceCount"]
        idle, most = scaled.get(logical_id, (first, first))
        name, instance_type = endpoint["EndpointName"], variant["InstanceType"]
        yield Fleet(stack, name, instance_type, first, idle, most)


def _references(joined: Template) -> list[str]:
    """The resources whose attributes a Fn::Join has."""
    parts = joined["Fn::Join"][1]
    return [part["Fn::GetAtt"][0] for part in parts if isinstance(part, dict)]


def _capacities(target: Template) -> tuple[int, int]:
    """The least of now and the most of any time."""
    actions = (each["ScalableTargetAction"] for each in target.get("ScheduledActions", ()))
    most = max(each["MaxCapacity"] for each in (target, *actions))
    return target["MinCapacity"], most


def _named(stack: str, template: Template) -> Iterator[Named]:
    for type, member in NAMED.items():
        for _, properties in _resources(template, type):
            if isinstance(name := properties.get(member), str):
                yield Named(stack, type, name)
