"""A model repository on the Hugging Face hub, or on a mirror that speaks its API."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, BinaryIO
from urllib.parse import quote

from stacks.build_scripts.retry import ATTEMPTS, retry
from stacks.build_scripts.upload import File

# Opens a URL; raises urllib's HTTPError and URLError.
Transport = Callable[[str], BinaryIO]
# The hub's answers for what is private, gated or not there.
GONE = (401, 403, 404)


class HubError(Exception):
    """The text says what to do."""


class NotOnHub(HubError):
    """It isn't to be had, however often one asks."""


def open_url(url: str) -> BinaryIO:
    request = urllib.request.Request(url, headers={"User-Agent": "sd-weights-import"})
    opened: BinaryIO = urllib.request.urlopen(request, timeout=60)
    return opened


@dataclass(frozen=True)
class Hub:
    """One repository at one commit. Every file's digest is the hub's: SHA-256 of large files, the
    git blob id of small ones (huggingface.co/docs/hub/api, `?blobs=true`). `say` prints, `pause`
    waits for seconds."""

    url: str
    model_id: str
    revision: str
    transport: Transport
    say: Callable[[str], None]
    pause: Callable[[float], None]

    @property
    def name(self) -> str:
        return f"{self.model_id} at {self.revision[:12]}"

    def files(self) -> list[File]:
        """Raises HubError."""
        return [_file(entry) for entry in self.described()["siblings"]]

    def described(self) -> dict[str, Any]:
        """What the hub says of the repository at that commit. Raises HubError."""
        where = f"{self.url}/api/models/{self.model_id}/revision/{self.revision}?blobs=true"

        def ask() -> dict[str, Any]:
            with self.transport(where) as response:
                answer: dict[str, Any] = json.load(response)
                return answer

        try:
            answer = retry(f"the file list of {self.name}", ask, self.say, self.pause)
        except urllib.error.HTTPError as error:
            with error:
                kind = NotOnHub if error.code in GONE else HubError
                raise kind(_explain(self.name, error.code)) from error
        except (OSError, HTTPException) as error:
            raise HubError(f"{self.url} can't be reached: {error}") from error
        if answer.get("sha") != self.revision:
            raise HubError(f"{self.name}: the hub answered for {answer.get('sha')!r}")
        return answer

    def open(self, path: str) -> BinaryIO:
        return self.transport(f"{self.url}/{self.model_id}/resolve/{self.revision}/{quote(path)}")


def _file(entry: dict[str, Any]) -> File:
    large = entry.get("lfs")
    if large:
        return File(entry["rfilename"], large["size"], "sha256", large["sha256"])
    return File(entry["rfilename"], entry["size"], "git", entry["blobId"])


def _explain(name: str, status: int) -> str:
    if status in GONE:
        return (
            f"{name} is not to be had from the hub (HTTP {status}): it was removed, is private, or "
            "asks for its terms to be accepted; name another in sd.models, by id and revision"
        )
    return f"{name}: the hub answered {ATTEMPTS} times with HTTP {status}; try again later"
