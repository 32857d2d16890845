"""PNGs in S3: where, as what, and for how long."""

import pytest
from botocore.exceptions import EndpointConnectionError

from front_door.errors import StorageError
from front_door.pictures import store
from sd_contract.invocation import Answer
from tests.fakes.front_door import NOW, FakeObjectStore, client_error


def store_two(s3: FakeObjectStore, now_s: float = NOW) -> list[str]:
    return store(
        s3,
        "pictures",
        Answer((b"first", b"second"), (4294967295, 0), {}, {}),
        request_id="id-1",
        now_s=now_s,
        url_ttl_s=600,
    )


def test_the_date_is_utc() -> None:
    midnight = 1795392000
    s3 = FakeObjectStore()
    store_two(s3, midnight - 1)
    store_two(s3, midnight)
    assert {key.split("/")[0] for key in s3.objects} == {"2026-11-22", "2026-11-23"}


@pytest.mark.parametrize(
    "error",
    [client_error("AccessDenied", "no"), EndpointConnectionError(endpoint_url="https://s3")],
)
def test_a_failure_says_where(error: Exception) -> None:
    with pytest.raises(StorageError, match="pictures/2026-11-22/id-1: "):
        store_two(FakeObjectStore(fails=error))
