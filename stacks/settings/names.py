"""What one copy of the app is called by, in an account that may have others.

A prefix may have hyphens, a variant's name has none, and the parts that follow are of fixed
lengths: so a name says which copy's it is, and what a role may touch by a pattern of names ends
where the next copy's begin ("sd-g5" is of "sd", "sd-x-g5" of "sd-x").
"""

from dataclasses import dataclass

from stacks.settings.rules import text

# SageMaker's names have 63 characters at most; a training job's has both of these and 31 more.
# The parameter store keeps names that begin with "aws" or "ssm" to itself (Systems Manager's guide,
# sysman-parameter-name-constraints), Cognito domains with any of its three words in them ("Domain
# cannot contain reserved word"): a deploy would be told so when its endpoint is running.
PREFIX = text(
    r"(?!.{17})(?!ssm)(?!.*(aws|amazon|cognito))[a-z](-?[a-z0-9])*",
    "up to 16 lower-case letters, digits and single hyphens, a letter first; ssm not first, and "
    "aws, amazon and cognito nowhere",
)
VARIANT = text(r"[a-z][a-z0-9]{0,15}", "up to 16 lower-case letters and digits, a letter first")
# Stacks of the app itself: Sd<Name>Stack.
TAKEN = ("alarms", "api", "app", "artifacts", "batch", "gallery", "network", "storage")
# What ends an asynchronous endpoint's name: no variant's, or it were that of another prefix's.
ASYNC = "async"


@dataclass(frozen=True)
class Names:
    prefix: str

    def stack(self, name: str) -> str:
        """Of the stack of that name in capitals: "SdG5Stack"."""
        parts = (part.capitalize() for part in self.prefix.split("-"))
        return f"{'-'.join(parts)}{name}Stack"

    @property
    def registrations(self) -> str:
        """Where variants register themselves; the front door reads this folder of the parameter
        store."""
        return f"/{self.prefix}/variants"

    def endpoint(self, variant: str) -> str:
        return f"{self.prefix}-{variant}"

    @property
    def endpoints(self) -> str:
        """A pattern of all endpoints, and of those of longer prefixes."""
        return f"{self.prefix}-*"

    @property
    def others_endpoints(self) -> str:
        """A pattern of what only longer prefixes' endpoints are called by."""
        return f"{self.prefix}-*-*"

    def container_log(self, variant: str) -> str:
        """SageMaker writes the containers' logs there, and nowhere else."""
        return _log(self.endpoint(variant))

    def async_container_log(self, variant: str) -> str:
        return _log(self.async_endpoint(variant))

    def async_endpoint(self, variant: str) -> str:
        return f"{self.prefix}-{variant}-{ASYNC}"

    @property
    def async_endpoints(self) -> str:
        """A pattern of all asynchronous endpoints, and of those of longer prefixes."""
        return f"{self.prefix}-*-{ASYNC}"

    @property
    def others_async_endpoints(self) -> str:
        """A pattern of what only longer prefixes' asynchronous endpoints are called by."""
        return f"{self.prefix}-*-*-{ASYNC}"

    @property
    def fleets(self) -> str:
        """Where variants say what batches need of them (sd_contract.fleet)."""
        return f"/{self.prefix}/fleets"

    @property
    def batches(self) -> str:
        """Of the function that the API finds by its name."""
        return f"{self.prefix}-batches"

    @property
    def gallery(self) -> str:
        """Of the gallery's queue and function, which the API finds by their name."""
        return f"{self.prefix}-gallery"

    @property
    def signer(self) -> str:
        """Of the function that signs pictures, which the batches' find by its name."""
        return f"{self.prefix}-signer"

    @property
    def alarms(self) -> str:
        """Of the topic that alarms find by its name."""
        return f"{self.prefix}-alarms"

    def dashboard(self, region: str) -> str:
        """An account has its dashboards in all regions at once."""
        return f"{self.prefix}-{region}"

    @property
    def bulk_jobs(self) -> str:
        """What the names of batches' training jobs begin with."""
        return f"{self.prefix}-bulk-"

    @property
    def bulk_job(self) -> str:
        """A pattern of those names, and of no other prefix's: a batch has 32 hex digits, and a try
        one."""
        return f"{self.bulk_jobs}{'?' * 32}-?"

    @property
    def event_source(self) -> str:
        """Of what is told of batches."""
        return f"{self.prefix}.batches"

    @property
    def endpoint_events(self) -> str:
        """Of what is told of endpoints that are stopped and started."""
        return f"{self.prefix}.endpoints"

    def jobs(self, variant: str) -> str:
        """What the names of a variant's training jobs begin with."""
        return f"{self.prefix}-compile-{variant}-"


def _log(endpoint: str) -> str:
    return f"/aws/sagemaker/Endpoints/{endpoint}"
