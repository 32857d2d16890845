"""All checks of a deploy, in the order in which they are of use."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from operations.account import Clients, Unanswered, is_there
from operations.preflight.bootstrap import bootstrap
from operations.preflight.cost import cost
from operations.preflight.finding import Finding, Verdict, findings, unknown
from operations.preflight.identity import SUBJECT, identity, region_of
from operations.preflight.leftovers import in_the_way, statuses, stuck
from operations.preflight.offers import offers
from operations.preflight.plan import Build, Plan
from operations.preflight.quotas import Quotas, build_quotas, endpoint_quotas, job_quotas
from operations.preflight.sources import base_image, model
from sd_contract.registration import BULK
from stacks.build_scripts.hub import Transport
from stacks.settings import Settings, VariantSettings
from stacks.settings.compile import CompiledSettings


@dataclass(frozen=True)
class Preflight:
    """`clients` are of the deploy's region, `home_clients` of one that every account has;
    `weights_key` gives the key that a model's weights are kept under."""

    settings: Settings
    plan: Plan
    clients: Clients
    home_clients: Clients
    transport: Transport
    weights_key: Callable[[Any], str]

    def run(self) -> Iterator[Finding]:
        who = findings(SUBJECT, lambda: [identity(self.home_clients)])
        yield from who
        region = self.settings.region
        if who[0].verdict is Verdict.OK:
            where = findings(
                f"region {region}", lambda: region_of(self.home_clients("ec2"), region)
            )
            yield from where
            if where[0].verdict is not Verdict.FAILS:
                yield from self._account()
        else:
            advice = "get credentials that work first"
            yield unknown("the account", "nobody that it knows asks", advice)
            yield from self._models(self.plan.builds)
        yield from cost(self.plan.fleets, self._prices())

    def _account(self) -> Iterator[Finding]:
        settings, plan, clients = self.settings, self.plan, self.clients
        account = self.home_clients("sts").get_caller_identity()["Account"]
        yield from findings(
            "cdk bootstrap",
            lambda: bootstrap(clients("ssm"), account, settings.region, plan.bootstrap),
        )
        known = True
        try:
            stacks = statuses(clients("cloudformation"), plan.stacks)
            done = self._done(settings.names.stack("Storage") in stacks)
            yield from stuck(stacks)
            yield from findings("names", lambda: in_the_way(clients, plan, stacks))
        except Unanswered as error:
            known, done = False, set()
            needs = "cloudformation:DescribeStacks, cloudformation:DescribeStackResources and "
            needs += "s3:GetObject of the model bucket tell"
            yield unknown("earlier deploys", str(error), needs)
        quotas = Quotas(clients("service-quotas"))
        yield from findings(
            "quotas of endpoints",
            lambda: endpoint_quotas(quotas, clients("sagemaker"), plan.fleets),
        )
        builds = [build for build in plan.builds if build.manifest not in done]
        for finding in self._wanted(builds, quotas):
            yield finding if known else _unless_built(finding)

    def _wanted(self, builds: Collection[Build], quotas: Quotas) -> Iterator[Finding]:
        """By what is still to be built, and by batches."""
        clients, jobs = self.clients, [*self._jobs(builds)]
        hosting = [("hosting", fleet.instance_type) for fleet in self.plan.fleets]
        types = hosting + [("training", instance_type) for _, instance_type, *_ in jobs]
        region = self.settings.region
        yield from findings("instance types", lambda: offers(clients("ec2"), region, types))
        yield from findings("quotas of jobs", lambda: job_quotas(quotas, jobs))
        yield from findings("quotas of builds", lambda: build_quotas(quotas, builds))
        yield from self._base_images(builds)
        yield from self._models(builds)

    def _done(self, stored: bool) -> set[str]:
        """Manifests that earlier deploys have left: what has one isn't built again."""
        if not stored:
            return set()
        storage = self.settings.names.stack("Storage")
        kept = self.clients("cloudformation").describe_stack_resources(StackName=storage)
        buckets = [
            resource["PhysicalResourceId"]
            for resource in kept["StackResources"]
            if resource["ResourceType"] == "AWS::S3::Bucket" and "PhysicalResourceId" in resource
        ]
        s3 = self.clients("s3")
        return {
            build.manifest
            for bucket in buckets
            for build in self.plan.builds
            if is_there(partial(s3.head_object, Bucket=bucket, Key=build.manifest))
        }

    def _variants(self) -> Iterator[VariantSettings]:
        name = self.settings.names.stack
        for variant in self.settings.variants:
            if {name(variant.title), name(f"{variant.title}Compile")} & {*self.plan.stacks}:
                yield variant

    def _jobs(self, builds: Collection[Build]) -> Iterator[tuple[str, str, bool, int]]:
        """What for, on what, whether spot, how many instances."""
        batches = self.settings.names.stack("Batch") in self.plan.stacks
        started = {build.jobs for build in builds if build.jobs}
        for variant in self._variants():
            prefix = self.settings.names.jobs(variant.name)
            if isinstance(variant, CompiledSettings) and any(
                jobs.startswith(prefix) for jobs in started
            ):
                compiling = variant.compile
                yield f"{variant.name}'s compile", compiling.instance_type, compiling.spot, 1
            if batches and BULK in variant.serve:
                bulk = variant.bulk
                purpose = f"{variant.name}'s large batches, not the deploy"
                yield purpose, bulk.instance_type, bulk.spot, bulk.instances

    def _base_images(self, builds: Collection[Build]) -> Iterator[Finding]:
        """Those that images, or compiles, are still to be made on."""
        name, stacks = self.settings.names.stack, {build.stack for build in builds}
        settings = {
            self.settings.base_image(variant): variant.path("base_image")
            for variant in self._variants()
            if {name(variant.title), name(f"{variant.title}Compile")} & stacks
        }
        for base, setting in settings.items():
            check = partial(base_image, self.clients("ecr"), base, setting)
            yield from findings(f"base image {base.repository}:{base.tag}", check)

    def _models(self, builds: Collection[Build]) -> Iterator[Finding]:
        """Of those whose weights are still to be imported."""
        imported = {build.manifest for build in builds}
        for name in dict.fromkeys(variant.model for variant in self.settings.variants):
            settings = self.settings.models[name]
            if f"weights/{self.weights_key(settings)}/manifest.json" in imported:
                yield from model(name, settings, self.transport)

    def _prices(self) -> dict[str, Any]:
        return {
            name: self.settings.prices[variant.name]
            for variant in self.settings.variants
            for name in (variant.endpoint_name, variant.async_endpoint_name)
        }


def _unless_built(finding: Finding) -> Finding:
    """Where nobody knows what earlier deploys have made: nothing fails for want of what isn't
    needed."""
    if finding.verdict is not Verdict.FAILS:
        return finding
    found = f"{finding.found}; of no matter if an earlier deploy has built what needs it"
    return replace(finding, verdict=Verdict.UNKNOWN, found=found)
