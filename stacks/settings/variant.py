"""What every kind of variant has: one endpoint, its image, its defaults.

A kind is a subclass, in a file of its own. It declares all that the app knows of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sd_contract.environment import DTYPES
from sd_contract.fields import GUIDANCE_SCALE
from sd_contract.limits import GATEWAY_S, STARTUP_S
from sd_contract.registration import ASYNC, BULK, REAL_TIME, SERVES, Mode
from sd_contract.sampling import STANDARD
from sd_contract.size import Size
from stacks.catalogue.hosts import AMIS, gpu_amis_for, offer
from stacks.catalogue.images import cuda_of, published_in
from stacks.settings.modes import ModesSettings
from stacks.settings.names import Names
from stacks.settings.problems import Notice, Problem
from stacks.settings.reading import below
from stacks.settings.rollout import RolloutSettings
from stacks.settings.rules import (
    Rule,
    flag,
    list_of,
    number,
    one_of,
    optional,
    setting,
    text,
    whole,
)
from stacks.settings.scaling import AsyncSettings, BulkSettings, ScalingSettings

GPU_INSTANCES = tuple(
    f"ml.{family}.{size}"
    for family in ("g5", "g6", "g6e")
    for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
)
GPU_AMIS = tuple(ami.name for ami in AMIS.values() if ami.cuda)


@dataclass(frozen=True, kw_only=True)
class GpuBulkSettings(BulkSettings):
    instance_type: str = setting(one_of(*GPU_INSTANCES))


# In SERVES' own order, as registrations have it.
_SERVE = list_of(one_of(*SERVES))
SERVE = Rule(
    _SERVE.allowed,
    lambda value: tuple(sorted(_SERVE.parse(value), key=SERVES.index)),
)
SERVED_DTYPES = tuple(dtype for dtype in DTYPES if dtype != "auto")
# One of a container's environment variables (SageMaker, ContainerDefinition.Environment).
MOST_ENVIRONMENT_CHARACTERS = 1024
_LARGEST = 1024


def _size(value: object) -> Size:
    if not isinstance(value, str):
        raise TypeError
    size = Size.parse(value)
    if size.width % 64 or size.height % 64 or max(size.width, size.height) > _LARGEST:
        raise ValueError
    return size


SIZE = Rule(f'"WIDTHxHEIGHT", multiples of 64 from 64 to {_LARGEST}', _size)


@dataclass(frozen=True, kw_only=True)
class VariantSettings:
    """`serve`: how it makes pictures; what comes of each say `scaling`, `async` and `bulk`.

    `seconds_per_step` is the time of one image and guided denoising step at the first size; the
    front door refuses what would not finish within the gateway's limit by it. Time-outs are
    SageMaker's.
    `auto_rollback` lets alarms on the new fleet send an update back, `rollout` says how it goes.
    `idle_stop_h` hours without a request stop the real-time endpoint, or take one that scales to
    the least it may have.
    Without `base_image_digest` a build takes what the tag of `base_image` stands for by then, and
    records its digest; AWS moves its tags, so it can't be known at synth.
    """

    kind: ClassVar[str]
    engine: ClassVar[str]
    """What a registration says of it."""
    folder: ClassVar[str]
    """Of model_assets: its container's own code, with the Dockerfile."""
    repository: ClassVar[str]
    """Of AWS's: what its image extends has a server, or an SDK, that the others' lack."""

    name: str
    names: Names
    model: str = setting(text(r"\S+", "one of sd.models"))
    instance_type: str
    ami: str
    auto_rollback: bool = setting(flag())
    rollout: RolloutSettings = field(metadata={"section": RolloutSettings})
    serve: tuple[str, ...] = setting(SERVE)
    scaling: ScalingSettings = field(metadata={"section": ScalingSettings})
    async_: AsyncSettings = field(metadata={"section": AsyncSettings})
    bulk: BulkSettings
    idle_stop_h: float | None = setting(optional(number(0.25, 168)))
    price_usd_per_hour: float | None = setting(optional(number(0.001, 1_000)))
    base_image: str = setting(text(r"[a-z0-9-]+:[\w.-]+", "repository:tag of an AWS container"))
    base_image_digest: str | None = setting(
        optional(text(r"sha256:[0-9a-f]{64}", '"sha256:" and 64 hex digits'))
    )
    routing: str = setting(one_of("LEAST_OUTSTANDING_REQUESTS", "RANDOM"))
    startup_timeout_s: int = setting(whole(*STARTUP_S))
    download_timeout_s: int = setting(whole(*STARTUP_S))
    dtype: str = setting(one_of(*SERVED_DTYPES))
    sizes: tuple[Size, ...] = setting(list_of(SIZE))
    modes: ModesSettings = field(metadata={"section": ModesSettings})
    guidance_scale: float = setting(number(GUIDANCE_SCALE.low, GUIDANCE_SCALE.high))
    seconds_per_step: float = setting(number(0.0001, 60))
    seconds_per_step_source: str = setting(text(r".{3,200}", "where the figure is from, in words"))

    @property
    def title(self) -> str:
        """In names of stacks and outputs."""
        return self.name.capitalize()

    @property
    def endpoint_name(self) -> str:
        return self.names.endpoint(self.name)

    @property
    def async_endpoint_name(self) -> str:
        return self.names.async_endpoint(self.name)

    @property
    def container_logs(self) -> tuple[str, ...]:
        """Of its endpoints."""
        named = {REAL_TIME: self.names.container_log, ASYNC: self.names.async_container_log}
        return tuple(log(self.name) for engine, log in named.items() if engine in self.serve)

    @property
    def guarded(self) -> bool:
        """Whether something stops its real-time endpoint by itself."""
        return REAL_TIME in self.serve and (self.idle_stop_h is not None or self.scaling.stops)

    @property
    def at_once(self) -> int:
        """Requests that a container draws together: `max_batch_size` of a kind that has one."""
        return 1

    @property
    def registered_modes(self) -> Mapping[str, Mode]:
        """`modes` with their seconds a step."""
        made = Mode.of if self.rows_count else Mode
        return {
            name: made(sampling, self.seconds_per_step)
            for name, sampling in self.modes.samplings.items()
        }

    @property
    def rows_count(self) -> bool:
        """Whether a step without the unconditional half takes less time than one with both."""
        return True

    @property
    def usual_s(self) -> float:
        """Of a picture as it is drawn where a request leaves that open."""
        mode = self.registered_modes[STANDARD]
        return mode.sampling.steps * mode.seconds_per_step

    @property
    def keeps_deep_half(self) -> bool:
        """Whether its networks are run in a way that DeepCache can be had in."""
        return True

    @property
    def base_image_pinned(self) -> str:
        """With its digest where one is set: what content keys count."""
        digest = self.base_image_digest
        return f"{self.base_image}@{digest}" if digest else self.base_image

    def environment(self) -> Mapping[str, str]:
        """What containers of this kind are told besides."""
        return {}

    def problem(self, name: str, allowed: str, value: object = None) -> Problem:
        """With one of its settings, or with `value` in it."""
        return Problem(self.path(name), getattr(self, name) if value is None else value, allowed)

    def path(self, name: str) -> str:
        return f"sd.variants.{self.name}.{name}"

    def problems(self, region: str) -> Iterator[Problem]:
        """What no single setting can show: contradictions between them, or to the region."""
        written = ",".join(map(str, self.sizes))
        if len(written) > MOST_ENVIRONMENT_CHARACTERS:
            allowed = f"at most {MOST_ENVIRONMENT_CHARACTERS} characters, with commas between them"
            yield self.problem("sizes", allowed, f"{len(self.sizes)} sizes")
        yield from self.scaling.problems(below(self.path("scaling")))
        if REAL_TIME in self.serve:
            yield from self.rollout.problems(below(self.path("rollout")), self.scaling)
        if self.idle_stop_h is not None and REAL_TIME not in self.serve:
            yield self.problem("idle_stop_h", f"empty without {REAL_TIME} in {self.path('serve')}")
        for name, mode in self.registered_modes.items():
            step_s, steps = mode.seconds_per_step, mode.sampling.steps
            most_steps = int(GATEWAY_S / step_s)
            if steps > most_steps:
                # The front door would refuse every request that leaves its steps out.
                yield self.problem(
                    f"modes.{name}.steps",
                    f"at most {most_steps}: at {step_s:g} s a step (seconds_per_step) more don't "
                    f"finish within the gateway's {GATEWAY_S} s",
                    steps,
                )
            if mode.sampling.deep_cache > 1 and not self.keeps_deep_half:
                allowed = "1: this way of running the UNet has no shallow step"
                yield self.problem(f"modes.{name}.deep_cache", allowed, mode.sampling.deep_cache)
        most = max(1, int(GATEWAY_S / self.usual_s))
        if self.at_once > most:  # taken as no faster together
            yield self.problem(
                "max_batch_size",
                f"at most {most}: of requests with {self.modes.standard.steps} steps "
                f"of {self.seconds_per_step:g} s (seconds_per_step), more aren't done within the "
                f"gateway's {GATEWAY_S} s",
            )
        repository = self.base_image.split(":")[0]
        if repository != self.repository:
            yield self.problem("base_image", f"an image of {self.repository}")
            return
        if region not in (regions := published_in(repository)):
            allowed = f"for {self.name}, whose {repository} is in {' | '.join(regions)}"
            yield Problem("sd.region", region, allowed)
        yield from self.image_problems()

    def engine_problems(self, batches: bool) -> Iterator[Problem]:
        """Engines that nobody would use without `batches`. Bulk alone costs nothing either way."""
        if not batches and (ASYNC in self.serve or REAL_TIME not in self.serve):
            allowed = f"{REAL_TIME} without {ASYNC} where sd.batch.enabled is false"
            yield self.problem("serve", allowed, list(self.serve))

    def image_problems(self) -> Iterator[Problem]:
        """An image of the kind's repository that the host's driver can't serve."""
        cuda = cuda_of(self.base_image)
        if cuda is None:
            yield self.problem("base_image", "a tag with CUDA (cuNNN), for a GPU")
            return
        fitting = gpu_amis_for(cuda)
        if self.ami not in fitting:
            allowed = " | ".join(fitting) or "none that is known"
            yield self.problem(
                "ami",
                f"{allowed}, with the CUDA {cuda} of {self.path('base_image')} or newer "
                "(stacks/catalogue/amis.json)",
            )

    def notices(self, region: str) -> Iterator[Notice]:
        """What AWS may refuse, as far as the dated tables can tell."""
        if {REAL_TIME, ASYNC} & {*self.serve}:
            advice = "where AWS has none the endpoint fails"
            yield from self.missing("hosting", "instance_type", self.instance_type, region, advice)
        if BULK in self.serve:
            without = f"{self.path('serve')} without {BULK} sends them to an endpoint"
            advice = f"where AWS has none, batches of many lines fail: {without}"
            job = self.bulk.instance_type
            yield from self.missing("training", "bulk.instance_type", job, region, advice)

    def missing(
        self, purpose: str, setting: str, instance_type: str, region: str, advice: str
    ) -> Iterator[Notice]:
        """An instance type that the region may not have."""
        found = offer(purpose, instance_type, region)
        if found.offered:
            return
        known = (
            f"has no {instance_type} for SageMaker {purpose} in {region}"
            if found.offered is False
            else f"doesn't know {region}"
        )
        yield self.notice(
            setting, f"stacks/catalogue/regions.json, of {found.date}, {known}; {advice}"
        )

    def notice(self, setting: str, text: str) -> Notice:
        path = self.path(setting)
        return Notice(f"sd:{path.removeprefix('sd.')}", self.name, f"{path}: {text}")
