"""The check itself.

SageMaker may roll an update back by itself: the endpoint is in service then, on its old
configuration, often without a reason (hashicorp/terraform-provider-aws#48997), and CloudFormation
takes that for a success.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cfn_requests.answering import Outcome
from sd_contract.registration import Built

log = logging.getLogger(__name__)

# Others come to an end by themselves, soon if CloudFormation has waited for the endpoint.
UNDER_WAY = ("Creating", "Updating", "SystemUpdating", "RollingBack")
SETTLED_WITHIN_S = 60
ASKED_EVERY_S = 5
MAX_QUALITY_CHARS = 600


class NotAsAskedFor(Exception):
    """The endpoint, or what it was built from, isn't what the deploy asked for."""


@dataclass(frozen=True)
class Asked:
    """The resource's properties. `endpoints` are configurations by the names of what should have
    them; none, where the variant has no endpoint. `manifest` is None where nothing was compiled."""

    endpoints: Mapping[str, str]
    bucket: str
    image_record: str
    manifest: str | None

    @classmethod
    def parse(cls, properties: Mapping[str, Any]) -> "Asked":
        """Raises KeyError."""
        return cls(
            {each["Name"]: each["Config"] for each in properties["Endpoints"]},
            properties["Bucket"],
            properties["ImageRecord"],
            properties.get("Manifest"),
        )


@dataclass(frozen=True)
class Check:
    """Wraps boto3's SageMaker and S3 clients; their errors pass through."""

    sagemaker: Any
    s3: Any
    pause: Callable[[float], None] = time.sleep

    def carry_out(self, event: Mapping[str, Any]) -> Outcome:
        """The attribute Built is that of a registration, as compact JSON. Raises NotAsAskedFor."""
        asked = Asked.parse(event["ResourceProperties"])
        # One id for good: an update that fails has replaced nothing.
        physical_id = str(event.get("PhysicalResourceId", "endpoint-check"))
        if event["RequestType"] == "Delete":
            return Outcome(physical_id)
        for endpoint, config in asked.endpoints.items():
            self._in_service(endpoint, config)
        built = Built(self._base_image_digest(asked), self._quality(asked))
        return Outcome(physical_id, {"Built": json.dumps(vars(built), separators=(",", ":"))})

    def _in_service(self, endpoint: str, asked_config: str) -> None:
        described = self._settled(endpoint)
        status, config = described["EndpointStatus"], described["EndpointConfigName"]
        if status == "InService" and config == asked_config:
            return
        reason = described.get("FailureReason") or "SageMaker gives no reason"
        if status == "InService":
            raise NotAsAskedFor(
                f"{endpoint} is in service on its old configuration {config}, not on "
                f"{asked_config}: SageMaker has rolled the update back by itself ({reason}). It "
                "stays registered as it was. Its log group "
                f"/aws/sagemaker/Endpoints/{endpoint} may tell more."
            )
        raise NotAsAskedFor(f"{endpoint} is {status}, not InService: {reason}")

    def _settled(self, endpoint: str) -> Mapping[str, Any]:
        described: Mapping[str, Any] = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        for _ in range(SETTLED_WITHIN_S // ASKED_EVERY_S):
            if described["EndpointStatus"] not in UNDER_WAY:
                break
            log.info("%s is %s", endpoint, described["EndpointStatus"])
            self.pause(ASKED_EVERY_S)
            described = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        return described

    def _base_image_digest(self, asked: Asked) -> str | None:
        """Null where the record was deleted, the one place that tells it: an unchanged key builds
        nothing, so an error here would come with every deploy."""
        record = self._json(asked.bucket, asked.image_record)
        if record is None:
            log.warning("%s is not there: base_image_digest is null", asked.image_record)
            return None
        return str(record["base_digest"])

    def _quality(self, asked: Asked) -> Mapping[str, Any] | None:
        """Null where nothing was compiled, and for a manifest from before it had these figures."""
        if asked.manifest is None:
            return None
        manifest = self._json(asked.bucket, asked.manifest)
        if manifest is None:
            raise NotAsAskedFor(f"{asked.manifest} is not there, though the endpoint serves it")
        quality: Mapping[str, Any] | None = manifest.get("quality")
        length = len(json.dumps(quality, separators=(",", ":")))
        if length > MAX_QUALITY_CHARS:
            raise NotAsAskedFor(
                f"quality in {asked.manifest} takes {length} characters; at most "
                f"{MAX_QUALITY_CHARS} fit the registration"
            )
        return quality

    def _json(self, bucket: str, key: str) -> Any:
        """None where there is no such object, which a listing tells from one that isn't allowed."""
        listed = self.s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        if not any(found["Key"] == key for found in listed.get("Contents", ())):
            return None
        return json.loads(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
