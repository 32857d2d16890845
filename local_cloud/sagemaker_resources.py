"""What SageMaker's operations share: ARNs, tags, and lists on one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest, output_members
from local_cloud.settings import CloudSettings

Request = Mapping[str, Any]
Answer = dict[str, Any]
Operations = dict[str, Callable[[Request], Answer]]


def make_arn(settings: CloudSettings, kind: str, name: str) -> str:
    """SageMaker's ARNs carry the name in small letters."""
    place = f"{settings.region}:{settings.account}"
    return f"arn:aws:sagemaker:{place}:{kind}/{name.lower()}"


class Tags:
    """The tags of every resource, by ARN."""

    def __init__(self) -> None:
        self._tags: dict[str, dict[str, str]] = {}
        self.operations: Operations = {
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }

    def put(self, arn: str, request: Request) -> None:
        """Take `request`'s Tags for the resource's, in place of what it had."""
        self._tags[arn] = {tag["Key"]: tag["Value"] for tag in request.get("Tags") or []}

    def drop(self, arn: str) -> None:
        self._tags.pop(arn, None)

    def _add_tags(self, request: Request) -> Answer:
        tags = self._tags_of(request)
        tags.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
        return {"Tags": _tag_list(tags)}

    def _list_tags(self, request: Request) -> Answer:
        return {"Tags": _tag_list(self._tags_of(request))}

    def _delete_tags(self, request: Request) -> Answer:
        tags = self._tags_of(request)
        for key in request["TagKeys"]:
            tags.pop(key, None)
        return {}

    def _tags_of(self, request: Request) -> dict[str, str]:
        arn = request["ResourceArn"]
        if arn not in self._tags:
            raise BadRequest("ValidationException", f"Could not find resource {arn}.")
        return self._tags[arn]


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def known_members(operation: str, record: Mapping[str, Any]) -> Answer:
    members = output_members("sagemaker", operation)
    return {key: value for key, value in record.items() if key in members}


def one_page(found: list[dict[str, Any]], request: Request, name: str) -> list[dict[str, Any]]:
    """Everything that matches on one page, newest first: a local cloud has few of anything."""
    wanted = request.get("NameContains", "").lower()
    matching = [item for item in found if wanted in item[name].lower()]
    return sorted(
        matching,
        key=lambda item: float(item["CreationTime"]),
        reverse=request.get("SortOrder", "Descending") == "Descending",
    )
