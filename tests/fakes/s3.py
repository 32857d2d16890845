"""S3 as boto3's client shows it, with the model bucket alone."""

import io
from typing import Any, BinaryIO

from botocore.exceptions import ClientError


class FakeS3:
    """An upload whose file fails to be read leaves no object. Each of `refusals` happens once."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        """By key, in the order of their making."""
        self.metadata: dict[str, dict[str, str]] = {}
        self.refusals: list[ClientError] = []

    def list_objects_v2(self, Bucket: str, Prefix: str, MaxKeys: int = 1000) -> dict[str, Any]:
        assert Bucket == "models"
        found = [
            {"Key": key, "Size": len(body)}
            for key, body in sorted(self.objects.items())
            if key.startswith(Prefix)
        ]
        return {"Contents": found[:MaxKeys]} if found else {}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        assert Bucket == "models"
        if Key not in self.objects:  # as to a role that may list below a prefix only
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")
        return {"Metadata": self.metadata[Key]}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        assert Bucket == "models"
        if self.refusals:
            raise self.refusals.pop()
        return {"Body": io.BytesIO(self.objects[Key])}

    def upload_fileobj(
        self, body: BinaryIO, bucket: str, key: str, ExtraArgs: dict[str, dict[str, str]]
    ) -> None:
        assert bucket == "models"
        content = b"".join(iter(lambda: body.read(1024), b""))
        self.metadata[key] = ExtraArgs["Metadata"]
        self._keep(key, content)

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        assert (Bucket, ContentType) == ("models", "application/json")
        self._keep(Key, Body)

    def _keep(self, key: str, body: bytes) -> None:
        self.objects.pop(key, None)
        self.objects[key] = body
