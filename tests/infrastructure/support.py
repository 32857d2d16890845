"""Synthesizing the app in tests, finding resources by what they are, and comparing templates."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aws_cdk import App, CloudFormationValidatePlugin, Validations
from aws_cdk.assertions import Template

from app import compose
from stacks.settings import ROOT, Settings, load

REGION = "us-east-1"
CONTEXT: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
# What templates are checked for.
REGIONS = ("us-east-1", "eu-west-1", "ap-northeast-1")
PROFILES: dict[str, dict[str, str]] = {
    "aws": {},
    "local": {"profile": "local"},
    "aws without Trainium": {"sd.variants.inf2.compile.compute": "codebuild-cpu"},
    "aws with gateway logs": {"sd.api.gateway_logs": "set-account-role"},
}
NO_PROPERTIES: Mapping[str, Any] = MappingProxyType({})
Resource = dict[str, Any]
ENDPOINT_STACKS = {"g5": "SdG5Stack", "djl": "SdDjlStack", "inf2": "SdInf2Stack"}
G5_ALONE = {"sd.variants.djl": "", "sd.variants.inf2": ""}
SIGNING_KEY = "arn:aws:kms:us-east-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab"
SIGNING = {
    "sd.api.c2pa.signing_key": SIGNING_KEY,
    "sd.api.c2pa.certificate_chain": "tests/infrastructure/certificates.pem",
}


@dataclass(frozen=True)
class Statement:
    """Of a policy in the stack; a role's name is its logical id, of use for comparing alone."""

    stack: str
    roles: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    raw: Resource


@dataclass(frozen=True)
class Stacks:
    """`templates` by stack."""

    templates: dict[str, Resource]
    _matchers: dict[str, Template] = field(default_factory=dict)

    def resources(
        self, stack: str, type: str, properties: Mapping[str, Any] = NO_PROPERTIES
    ) -> dict[str, Resource]:
        """Those that have at least the properties, which may hold matchers; by logical id."""
        if stack not in self._matchers:
            self._matchers[stack] = Template.from_json(self.templates[stack])
        wanted = {"Properties": dict(properties)} if properties else {}
        found: Any = self._matchers[stack].find_resources(type, wanted)
        return dict(found)

    def one(
        self, stack: str, type: str, properties: Mapping[str, Any] = NO_PROPERTIES
    ) -> tuple[str, Resource]:
        """The one there is, with its logical id."""
        (found,) = self.resources(stack, type, properties).items()
        return found

    def only(
        self, stack: str, type: str, properties: Mapping[str, Any] = NO_PROPERTIES
    ) -> Resource:
        return self.one(stack, type, properties)[1]

    def every(self, type: str) -> Iterator[tuple[str, Resource]]:
        """With its stack."""
        for stack in self.templates:
            for resource in self.resources(stack, type).values():
                yield stack, resource

    def statements(self) -> Iterator[Statement]:
        """Of what roles may do and mustn't."""
        for stack, policy in self.every("AWS::IAM::Policy"):
            roles = tuple(role["Ref"] for role in policy["Properties"]["Roles"])
            for raw in policy["Properties"]["PolicyDocument"]["Statement"]:
                resources = tuple(text_of(resource) for resource in listed(raw["Resource"]))
                yield Statement(stack, roles, tuple(listed(raw["Action"])), resources, raw)

    def allowed(self, stack: str, role: Any) -> dict[str, list[str]]:
        """Resources by action; `role` is its logical id or, as services are given it, its ARN."""
        name = role if isinstance(role, str) else role["Fn::GetAtt"][0]
        found: dict[str, list[str]] = {}
        for statement in self.statements():
            if statement.stack == stack and name in statement.roles:
                assert statement.raw["Effect"] == "Allow"
                for action in statement.actions:
                    found.setdefault(action, []).extend(statement.resources)
        return found

    def function_role(self, stack: str, package: str) -> Any:
        """Of the one Lambda function from that package of lambda/."""
        handler = {"Handler": f"{package}.handler.handler"}
        return self.only(stack, "AWS::Lambda::Function", handler)["Properties"]["Role"]


@dataclass(frozen=True)
class Synthesized(Stacks):
    """The app; `dependencies` of each stack on others, direct ones."""

    settings: Settings = field(kw_only=True)
    folder: Path = field(kw_only=True)
    dependencies: dict[str, set[str]] = field(kw_only=True)


def synthesize(
    folder: Path, then: Callable[[App], None] = lambda _: None, /, **context: str
) -> Synthesized:
    """As `cdk synth -c name=value` does, without the CLI, credentials or an account; `then` may
    change the composed app before. CDK's own validation is half of a synthesis' time:
    `validated` has it."""
    app = App(
        context={**CONTEXT, **context},
        outdir=str(folder),
        builtin_cloud_formation_validation=False,
    )
    settings = load(app.node.get_all_context(), REGION)
    compose(app, settings)
    then(app)
    app.synth()
    templates = {
        path.name.removesuffix(".template.json"): json.loads(path.read_text())
        for path in sorted(folder.glob("*.template.json"))
    }
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    dependencies = {
        stack: {name for name in artifacts[stack].get("dependencies", ()) if name in templates}
        for stack in templates
    }
    return Synthesized(templates, settings=settings, folder=folder, dependencies=dependencies)


def validated(app: App) -> None:
    """By CDK too, whose findings are in the report alone."""
    Validations.of(app).add_plugins(CloudFormationValidatePlugin())


def in_region(folder: Path, region: str, profile: str) -> Synthesized:
    return synthesize(folder, **{"sd.region": region, **PROFILES[profile]})


_HASHES = (
    (re.compile(r"[0-9a-f]{64}"), "<sha256>"),
    # Logical ids that carry a key: its first 12 digits, then CDK's own 8 of the path.
    (re.compile(r"(Handle|Run|Ready)[0-9a-f]{12}[0-9A-F]{8}"), r"\1<key>"),
    (re.compile(r"(?<=Run)[0-9a-f]{12}(?=/)|(?<=Ready)[0-9a-f]{12}$"), "<key>"),
    # An API's deployment is named by a hash of the API.
    (re.compile(r"(Deployment[0-9A-F]{8})[0-9a-f]{32}"), r"\1<md5>"),
    (re.compile(r"(compile-\w+)-[0-9a-f]{12}-"), r"\1-<key>-"),
)


def masked(template: Resource) -> Resource:
    """Without the paths and the bootstrap check that CDK puts into every template."""
    kept = {name: template[name] for name in ("Resources", "Outputs") if name in template}
    text = json.dumps(kept)
    for pattern, replacement in _HASHES:
        text = pattern.sub(replacement, text)
    loaded: Resource = json.loads(text)
    for resource in loaded["Resources"].values():
        resource.pop("Metadata", None)
    return loaded


def text_of(value: Any) -> str:
    """A property's text, with what is known only in a deploy shown as <name>."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        separator, parts = argument
        return str(separator).join(map(text_of, parts))
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    return f"<{argument}>" if isinstance(argument, str) else f"<{function}>"


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def variables(project: Resource) -> dict[str, str]:
    """A CodeBuild project's environment."""
    given = project["Properties"]["Environment"]["EnvironmentVariables"]
    return {variable["Name"]: text_of(variable["Value"]) for variable in given}
