"""What builds start from: base images in AWS's registries, models on the hub."""

from collections.abc import Iterator
from typing import Any

from operations.preflight.finding import Finding, fails, ok, unknown
from stacks.build_scripts.hub import Hub, HubError, NotOnHub, Transport
from stacks.catalogue.images import BaseImage
from stacks.settings import ModelSettings

# What SageMaker takes (container registry, developer guide), besides a list that names one.
MEDIA_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)


def base_image(ecr: Any, base: BaseImage, setting: str) -> Iterator[Finding]:
    """`setting` is where its name stands."""
    subject = f"base image {base.repository}:{base.tag}"
    tag = _digest(ecr, base, {"imageTag": base.tag})
    if base.digest and _digest(ecr, base, {"imageDigest": base.digest}):
        moved = "" if tag == base.digest else ", which its tag no longer stands for"
        yield ok(subject, f"{base.digest} (base_image_digest){moved}")
    elif base.digest:
        advice = f"{setting}_digest: {tag or 'empty'}, which its tag stands for now"
        yield fails(subject, f"{base.registry} has no {base.digest}", advice)
    elif tag:
        yield ok(subject, f"{tag} in {base.registry}")
    else:
        advice = f"{setting} names another tag; AWS takes old ones away"
        yield fails(subject, f"{base.registry} has no such tag", advice)


def _digest(ecr: Any, base: BaseImage, wanted: dict[str, str]) -> str:
    """Empty where there is no such image."""
    answer = ecr.batch_get_image(
        registryId=base.account,
        repositoryName=base.repository,
        imageIds=[wanted],
        acceptedMediaTypes=[*MEDIA_TYPES],
    )
    return str(answer["images"][0]["imageId"]["imageDigest"]) if answer["images"] else ""


def model(name: str, model: ModelSettings, transport: Transport) -> Iterator[Finding]:
    """Its weights, where they are from, under the licence that the API will tell. A folder was
    looked at when the settings were read."""
    subject = f"model {name}"
    if not model.from_hub:
        yield ok(subject, f"whole in {model.folder}, licence {model.license}")
        return
    hub = Hub(
        model.hub_url,
        model.id,
        model.revision or "",
        transport,
        say=lambda _: None,
        pause=lambda _: None,
    )
    try:
        described = hub.described()
    except NotOnHub as error:
        yield fails(subject, str(error), f"sd.models.{name} names another, by id and revision")
        return
    except HubError as error:
        advice = f"CodeBuild asks {model.hub_url} too, from AWS's network: try again, or look there"
        yield unknown(subject, str(error), advice)
        return
    if closed := [word for word in ("gated", "disabled", "private") if described.get(word)]:
        advice = f"sd.models.{name} names another: the import has no account on the hub"
        yield fails(subject, f"{hub.name} is {closed[0]} on the hub", advice)
    else:
        yield ok(subject, f"{hub.name}, {len(described['siblings'])} files on {model.hub_url}")
    yield _licence(name, model, described)


def _licence(name: str, model: ModelSettings, described: dict[str, Any]) -> Finding:
    """The model card's, or the tag that the hub makes of it."""
    subject = f"licence of {name}"
    tags = [tag.removeprefix("license:") for tag in described.get("tags", ()) if "license:" in tag]
    stated = str((described.get("cardData") or {}).get("license") or "".join(tags[:1]))
    if stated.lower() == model.license.lower():
        return ok(subject, f"{stated}, {model.license_url}")
    advice = f"read it, then set sd.models.{name}.license and license_url: the API tells callers"
    where = f"the hub says {stated}" if stated else "the hub names none"
    return unknown(subject, f"{where}, sd.models says {model.license}", advice)
