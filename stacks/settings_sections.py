"""The sections of the settings: each field with what it allows, the limits with their source."""

import json
from dataclasses import dataclass
from pathlib import Path

from stacks.catalogue.hosts import AMIS
from stacks.settings_parsing import (
    flag,
    list_of,
    number,
    one_of,
    one_of_numbers,
    optional,
    setting,
    text,
    whole,
)

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = ("g5", "djl", "inf2")
ENGINES = {"g5": "diffusers", "djl": "djl-deepspeed", "inf2": "neuronx"}

# API Gateway's integration time-out for a regional REST API; more needs a quota change.
GATEWAY_TIMEOUT_S = 29
# Where variants register themselves; the front door reads this folder of the parameter store.
VARIANT_PREFIX = "/sd/variants"
# What endpoints' names begin with: the front door may invoke those, and no other.
ENDPOINT_PREFIX = "sd-"

GPU_INSTANCES = tuple(
    f"ml.{family}.{size}"
    for family in ("g5", "g6", "g6e")
    for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
)
INF2_INSTANCES = ("ml.inf2.xlarge", "ml.inf2.8xlarge", "ml.inf2.24xlarge", "ml.inf2.48xlarge")
COMPILE_INSTANCES = ("ml.trn1.2xlarge", "ml.trn1.32xlarge", "ml.trn1n.32xlarge")

GPU_AMIS = tuple(ami.name for ami in AMIS.values() if ami.cuda)
NEURON_AMIS = tuple(ami.name for ami in AMIS.values() if ami.neuron_driver)
# What a variant's code extends: each has a server, or an SDK, that the others' lack.
BASE_REPOSITORIES = {
    "g5": "huggingface-pytorch-inference",
    "djl": "djl-inference",
    "inf2": "huggingface-pytorch-inference-neuronx",
}

# CloudWatch Logs takes no other retention below a year (PutRetentionPolicy).
LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365)

# docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
GATEWAY_LOGS = ("off", "account-role", "set-account-role")

SIZE = text(r"(64|[1-9]\d{2,3})x(64|[1-9]\d{2,3})", '"WIDTHxHEIGHT", multiples of 64 up to 1024')


@dataclass(frozen=True)
class PublicLimits:
    """The API's ranges, both ends included; the prompts' are lengths in characters.

    Lambda and containers get these by environment variables; there is no second copy.
    """

    prompt: tuple[int, int] = (1, 1000)
    negative_prompt: tuple[int, int] = (0, 1000)
    n: tuple[int, int] = (1, 4)
    num_inference_steps: tuple[int, int] = (1, 100)
    guidance_scale: tuple[float, float] = (1.0, 20.0)
    seed: tuple[int, int] = (0, 2**32 - 1)

    def to_json(self) -> str:
        ranges = {name: {"min": low, "max": high} for name, (low, high) in vars(self).items()}
        return json.dumps(ranges, separators=(",", ":"))


LIMITS = PublicLimits()


@dataclass(frozen=True)
class AppSettings:
    """`variants` are those the app offers; a region that lacks one's image has to leave it
    out."""

    region: str | None = setting(optional(text(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS region's name")))
    variants: tuple[str, ...] = setting(list_of(one_of(*VARIANTS)))


@dataclass(frozen=True)
class ModelSettings:
    """What is served. `folder` is relative to the repository's root."""

    source: str = setting(one_of("hub", "folder"))
    id: str = setting(text(r"[\w.-]+(/[\w.-]+)?", "a model's id, such as owner/name"))
    revision: str = setting(text(r"[0-9a-f]{40}", "a commit's 40 hex digits (a branch can move)"))
    folder: str = setting(text(r".*", "a folder in diffusers format"))
    hub_url: str = setting(text(r"https?://\S+[^/\s]", "a URL without a slash at its end"))
    license: str = setting(text(r"\S+", "a licence's identifier"))
    license_url: str = setting(text(r"https?://\S+", "a URL"))

    @property
    def folder_path(self) -> Path:
        return ROOT / self.folder


@dataclass(frozen=True)
class ApiSettings:
    """`rate_per_s` and `burst` throttle each API key; pictures stay in S3 for `image_days`, logs of
    requests, the containers' too, for `log_days`.

    `gateway_logs` are API Gateway's own, of accesses and errors. It writes both under one role that
    the account keeps for all its APIs: "account-role" takes the one that is there (none fails the
    deploy), "set-account-role" makes one, in place of any other.
    """

    default_model: str = setting(one_of(*VARIANTS))
    rate_per_s: float = setting(number(0.1, 10_000))
    burst: int = setting(whole(1, 5_000))
    requests_per_day: int = setting(whole(1, 100_000_000))
    # S3 honours a presigned URL for a week at most, and no longer than the signing role's session.
    url_ttl_s: int = setting(whole(60, 43_200))
    image_days: int = setting(whole(1, 365))
    cache_ttl_s: int = setting(whole(0, 3_600))
    # A prompt and a negative prompt of 1000 characters, escaped to 12 bytes each, take 24 kB.
    max_body_bytes: int = setting(whole(1_024, 1_048_576))
    log_days: int = setting(one_of_numbers(*LOG_DAYS))
    gateway_logs: str = setting(one_of(*GATEWAY_LOGS))


@dataclass(frozen=True)
class BuildSettings:
    """Time limits of the CodeBuild builds other than the compile (CodeBuild: 5 to 2160 minutes;
    a wait in a deploy: 43,200 s, of which the build's queue takes its share)."""

    weights_timeout_min: int = setting(whole(5, 600))
    image_timeout_min: int = setting(whole(5, 600))
    log_days: int = setting(one_of_numbers(*LOG_DAYS))


DTYPES = ("float16", "bfloat16", "float32")


@dataclass(frozen=True)
class VariantSettings:
    """One endpoint.

    `seconds_per_step` is the time of one image and denoising step at the first size; the front
    door refuses what would not finish within the gateway's limit by it. Time-outs are SageMaker's
    (60 to 3600 s). One instance unless someone asks for more: each costs from the first minute.
    `auto_rollback` lets an alarm on the new fleet send an update back.
    Without `base_image_digest` a build takes what the tag of `base_image` stands for by then, and
    records its digest; AWS moves its tags, so it can't be known at synth.
    """

    name: str
    engine: str
    instance_type: str
    ami: str
    auto_rollback: bool = setting(flag())
    instance_count: int = setting(whole(1, 20))
    price_usd_per_hour: float | None = setting(optional(number(0.001, 1_000)))
    base_image: str = setting(text(r"[a-z0-9-]+:[\w.-]+", "repository:tag of an AWS container"))
    base_image_digest: str | None = setting(
        optional(text(r"sha256:[0-9a-f]{64}", '"sha256:" and 64 hex digits'))
    )
    routing: str = setting(one_of("LEAST_OUTSTANDING_REQUESTS", "RANDOM"))
    startup_timeout_s: int = setting(whole(60, 3_600))
    download_timeout_s: int = setting(whole(60, 3_600))
    dtype: str = setting(one_of(*DTYPES))
    sizes: tuple[str, ...] = setting(list_of(SIZE))
    steps: int = setting(whole(*LIMITS.num_inference_steps))
    guidance_scale: float = setting(number(*LIMITS.guidance_scale))
    seconds_per_step: float = setting(number(0.0001, 60))
    seconds_per_step_source: str = setting(text(r".{3,200}", "where the figure is from, in words"))

    @property
    def base_image_pinned(self) -> str:
        """With its digest where one is set: what content keys count."""
        digest = self.base_image_digest
        return f"{self.base_image}@{digest}" if digest else self.base_image

    @property
    def endpoint_name(self) -> str:
        return f"{ENDPOINT_PREFIX}{self.name}"

    @property
    def log_group(self) -> str:
        """SageMaker writes the containers' logs there, and nowhere else."""
        return f"/aws/sagemaker/Endpoints/{self.endpoint_name}"


@dataclass(frozen=True, kw_only=True)
class G5Settings(VariantSettings):
    """`dtype` "auto" is float16 on a GPU and float32 without one: for a laptop of either kind."""

    instance_type: str = setting(one_of(*GPU_INSTANCES))
    ami: str = setting(one_of(*GPU_AMIS))
    dtype: str = setting(one_of("auto", *DTYPES))


@dataclass(frozen=True, kw_only=True)
class DjlSettings(VariantSettings):
    """DJL hands over up to `max_batch_size` requests that arrive within `max_batch_delay_ms`, and
    answers 503 when `job_queue_size` - 1 are waiting. `acceleration` never falls back by itself:
    "deepspeed-or-pytorch" does so, and says so in every answer. `max_unet_rows` counts the guidance
    rows too."""

    instance_type: str = setting(one_of(*GPU_INSTANCES))
    ami: str = setting(one_of(*GPU_AMIS))
    # DJL itself takes 1200 to load (MODEL_LOADING_TIMEOUT in its image), and says why it can't.
    startup_timeout_s: int = setting(whole(1_200, 3_600))
    max_batch_size: int = setting(whole(1, 16))
    max_batch_delay_ms: int = setting(whole(0, 5_000))
    job_queue_size: int = setting(whole(2, 1_000))
    acceleration: str = setting(one_of("deepspeed", "deepspeed-or-pytorch", "pytorch"))
    cuda_graphs: bool = setting(flag())
    max_unet_rows: int = setting(whole(2, 16))


@dataclass(frozen=True, kw_only=True)
class Inf2Settings(VariantSettings):
    instance_type: str = setting(one_of(*INF2_INSTANCES))
    ami: str = setting(one_of(*NEURON_AMIS))
    # The compile's; its VAE is float32 in either case.
    dtype: str = setting(one_of("bfloat16", "float32"))


@dataclass(frozen=True)
class CompileSettings:
    """The Neuron compile. Sizes and dtype are the inf2 variant's own.

    `spot` saves money and can wait long. The bar of the parity gate is measured (see
    docs/operations.md); `parity_db` is one more, the least PSNR of each picture against eager
    float32. `poll_s` is how often the build asks for the job's state.
    """

    sizes: tuple[str, ...]
    dtype: str
    compute: str = setting(one_of("training-job", "codebuild-cpu"))
    instance_type: str = setting(one_of(*COMPILE_INSTANCES))
    spot: bool = setting(flag())
    # The wait in the deploy ends after 720 minutes; this leaves room for the build's queue.
    timeout_min: int = setting(whole(10, 600))
    sdk: str = setting(text(r"\d+\.\d+\.\d+", "a Neuron SDK version such as 2.26.0"))
    backend: str = setting(one_of("neuronx", "torchscript"))
    parity_db: float | None = setting(optional(number(10, 80)))
    poll_s: int = setting(whole(1, 300))
