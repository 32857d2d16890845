"""Pictures in S3: where, as what, and for how long; and which of them are read again."""

import pytest
from botocore.exceptions import EndpointConnectionError

from front_door.errors import PictureNotFound, StorageError
from sd_contract.invocation import Answer
from tests.fakes.front_door import NOW, FakeObjectStore, bucket, client_error


def store_two(s3: FakeObjectStore, now_s: float = NOW, output_format: str = "png") -> list[str]:
    answer = Answer((b"first", b"second"), (4294967295, 0), {}, {}, output_format)
    return bucket(s3).store(answer, request_id="id-1", now_s=now_s)


def test_the_date_is_utc() -> None:
    midnight = 1795392000
    s3 = FakeObjectStore()
    store_two(s3, midnight - 1)
    store_two(s3, midnight)
    assert {key.split("/")[0] for key in s3.objects} == {"2026-11-22", "2026-11-23"}


def test_the_format_names_key_and_type() -> None:
    s3 = FakeObjectStore()
    store_two(s3, output_format="webp")
    assert [(key.rsplit("/")[-1], each["ContentType"]) for key, each in s3.objects.items()] == [
        ("4294967295.webp", "image/webp"),
        ("0.webp", "image/webp"),
    ]


@pytest.mark.parametrize(
    "error",
    [client_error("AccessDenied", "no"), EndpointConnectionError(endpoint_url="https://s3")],
)
def test_a_failure_says_where(error: Exception) -> None:
    with pytest.raises(StorageError, match="pictures/2026-11-22/id-1: "):
        store_two(FakeObjectStore(fails=error))


def test_what_is_stored_is_read_again_by_its_url_or_its_key() -> None:
    s3 = FakeObjectStore()
    pictures = bucket(s3)
    urls = store_two(s3)
    for url, key, content in zip(urls, s3.objects, (b"first", b"second"), strict=True):
        assert pictures.key_of(url) == pictures.key_of(url.partition("?")[0]) == key
        assert pictures.key_of(key) == key
        assert pictures.load(key, "image") == content


KEY = "2026-11-22/id-1/0.png"


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "0.png",
        f"/{KEY}",
        f"other/{KEY}",
        f"https://other/{KEY}",
        f"https://pictures/other/{KEY}",
        f"https://pictures//{KEY}",
        f"s3://pictures/{KEY}",
        f"{KEY}\n",
        "2026-11-22/../0.png",
        "2026-11-22/id-1/0.gif",
        "2026-11-22/id-1/0.png/",
        "2026-11-22/id 1/0.png",
        "2026-11-22/id-1/٠.png",
        "a" * 5_000_000,
    ],
)
def test_nothing_else_is_one_of_its_keys(reference: str) -> None:
    assert bucket(FakeObjectStore()).key_of(reference) is None


@pytest.mark.parametrize("code", ["NoSuchKey", "AccessDenied"])
def test_what_is_gone_is_the_caller_s_to_know(code: str) -> None:
    pictures = bucket(FakeObjectStore(fails=client_error(code)))
    with pytest.raises(PictureNotFound, match=r"^mask: there is no such picture") as caught:
        pictures.load(KEY, "mask")
    assert (caught.value.param, caught.value.code) == ("mask", "picture_not_found")


@pytest.mark.parametrize(
    "error", [client_error("SlowDown"), EndpointConnectionError(endpoint_url="https://s3")]
)
def test_what_can_t_be_read_is_ours(error: Exception) -> None:
    with pytest.raises(StorageError, match=f"pictures/{KEY}: "):
        bucket(FakeObjectStore(fails=error)).load(KEY, "image")
