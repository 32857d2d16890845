"""A batch's pictures and results, as whoever draws them keeps them: a function, or the bulk job's
container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sd_contract.batch import BatchKeys, Unit, UnitResult, WorkLine
from sd_contract.invocation import JSON, MEDIA_TYPES, Answer
from sd_contract.signing import Signer, SigningRequest


@dataclass(frozen=True)
class BatchStore:
    """`s3` is botocore's client, whose errors pass through. Without a `signer` pictures are kept as
    they are drawn."""

    s3: Any
    bucket: str
    keys: BatchKeys
    signer: Signer | None = None

    def part(self, number: int) -> list[WorkLine]:
        return work_lines(self.load(self.keys.part(number)))

    def result(self, unit: Unit) -> UnitResult | None:
        """That of a unit which is drawn already. Needs the right to list: without it S3 says of
        what isn't there that it mustn't be read."""
        try:
            return UnitResult.from_json(self.load(self.keys.result(unit)))
        except self.s3.exceptions.NoSuchKey:
            return None

    def done(self, lines: Sequence[WorkLine]) -> set[str]:
        """The keys of the results that these lines have, which follow each other in the batch."""
        if not lines:
            return set()
        # Names begin with the line's number in six digits.
        first, last = (f"{self.keys.results}{line.line:06d}-" for line in (lines[0], lines[-1]))
        found: set[str] = set()
        asked = {"Bucket": self.bucket, "Prefix": self.keys.results, "StartAfter": first}
        for page in self.s3.get_paginator("list_objects_v2").paginate(**asked):
            for entry in page.get("Contents", ()):
                key = entry["Key"]
                if key > last and not key.startswith(last):
                    return found
                found.add(key)
        return found

    def load(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def keep(self, unit: Unit, answer: Answer) -> UnitResult:
        """The picture first: what has a result is never drawn again. Raises SigningFailed."""
        key, media_type = self.keys.picture(unit), MEDIA_TYPES[answer.output_format]
        [image] = answer.images
        if self.signer:
            parent = unit.invocation.get("image")
            wanted = SigningRequest(
                pictures=(image,),
                media_type=media_type,
                model=str(answer.engine.get("model_id", "")),
                parent=None if parent is None else self.load(parent),
            )
            [image] = self.signer.sign(wanted, f"{self.keys.batch_id}-{unit.name}")
        self.put(key, image, media_type)
        return self.keep_result(UnitResult.drawn(unit, key, answer))

    def keep_result(self, result: UnitResult) -> UnitResult:
        self.put(self.keys.result(result), result.to_json().encode(), JSON)
        return result

    def put(self, key: str, content: bytes, media_type: str = JSON) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content, ContentType=media_type)


def work_lines(part: bytes) -> list[WorkLine]:
    return [WorkLine.from_json(line) for line in part.splitlines()]
