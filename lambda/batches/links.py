"""Signed links to pictures by the hundred thousand: botocore needs 0.4 ms for one, and an output
file can have PICTURES of them, for which there are the gateway's 29 s.

Source: S3's API reference, Authenticating Requests: Using Query Parameters (Signature Version 4).
"""

import hashlib
import hmac
import io
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from botocore.session import Session

from batches.objects import Objects

# Of a composed output line. Within a JSON string the quotes would be escaped.
_KEY = re.compile(rb'"key": "(batches/[^"\\]+)"')


def signed_lines(content: bytes, url: Callable[[str], str]) -> bytes:
    """Output lines with each picture's `url` in place of its key."""
    # Written on, not joined: PICTURES links are a third of a gigabyte, which would be there twice.
    signed, done = io.BytesIO(), 0
    for found in _KEY.finditer(content):
        signed.write(content[done : found.start()])
        signed.write(b'"url": "%s"' % url(found[1].decode()).encode())
        done = found.end()
    signed.write(content[done:])
    return signed.getvalue()


def link_maker(objects: Objects, session: Session) -> Callable[[str], str]:
    """Gives `objects.download_url`'s links, of plain keys, all as of now."""
    place = urlsplit(objects.download_url("key"))
    path = place.path.removesuffix("key")
    query = place.query.rpartition("&X-Amz-Signature=")[0]
    [date], [scope] = (parse_qs(query)[name] for name in ("X-Amz-Date", "X-Amz-Credential"))
    scope = scope.partition("/")[2]
    # Canonical queries are in order of their names; botocore writes them in another.
    canonical = "&".join(sorted(query.split("&")))
    signing_key = f"AWS4{session.get_credentials().get_frozen_credentials().secret_key}".encode()
    for part in scope.split("/"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")

    def link(key: str) -> str:
        request = f"GET\n{path}{key}\n{canonical}\nhost:{place.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}"
        signature = hmac.digest(signing_key, text.encode(), "sha256").hex()
        start = f"{place.scheme}://{place.netloc}{path}{key}"
        return f"{start}?{query}&X-Amz-Signature={signature}"

    return link
