"""The Lambda's environment: parsed whole, refused whole."""

import pytest

from front_door.config import Config
from sd_contract.environment import ConfigError
from tests.fakes.front_door import CONFIG, ENV


def test_a_complete_environment() -> None:
    assert (
        Config(
            variant_prefix="/sd/variants",
            default_model="g5",
            picture_bucket="pictures",
            url_ttl_s=3600,
            gateway_timeout_s=29.0,
            cache_ttl_s=60.0,
            max_body_bytes=32768,
            max_edit_bytes=4_500_000,
            cors_origins=(),
            log_prompts=False,
            embed_prompt=True,
            metrics_namespace="sd",
            signing_function="",
            gallery_queue_url="",
            gallery_function="",
            store=False,
        )
        == CONFIG
    )
    # Three seconds of the gateway's 29 are the front door's own.
    assert CONFIG.endpoint_timeout_s == 26


def test_origins_are_a_list() -> None:
    config = Config.from_env({**ENV, "SD_CORS_ORIGINS": "https://a.example,https://b.example"})
    assert config.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize("name", ENV)
def test_every_variable_is_required(name: str) -> None:
    for env in ({**ENV, name: " "}, {key: value for key, value in ENV.items() if key != name}):
        with pytest.raises(ConfigError, match=f"^{name} is missing: a"):
            Config.from_env(env)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SD_VARIANT_PREFIX", "sd/variants"),
        ("SD_VARIANT_PREFIX", "/sd/variants/"),
        ("SD_URL_TTL_S", "0"),
        ("SD_URL_TTL_S", "604801"),
        ("SD_URL_TTL_S", "an hour"),
        ("SD_GATEWAY_TIMEOUT_S", "3"),
        ("SD_GATEWAY_TIMEOUT_S", "nan"),
        ("SD_CACHE_TTL_S", "-1"),
        ("SD_CACHE_TTL_S", "inf"),
        ("SD_MAX_BODY_BYTES", "1.5"),
        ("SD_MAX_BODY_BYTES", "6291457"),
        ("SD_MAX_EDIT_BYTES", "0"),
        ("SD_LOG_PROMPTS", "True"),
        ("SD_EMBED_PROMPT", "1"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({**ENV, name: value})
    [mistake] = caught.value.problems
    assert mistake.startswith(f"{name}={value!r}: a")


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({**ENV, "SD_URL_TTL_S": "x", "SD_PICTURE_BUCKET": ""})
    assert str(caught.value) == (
        "SD_PICTURE_BUCKET is missing: a bucket's name; "
        "SD_URL_TTL_S='x': an integer from 1 to 604800"
    )
