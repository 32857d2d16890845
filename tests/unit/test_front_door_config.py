"""The Lambda's environment: parsed whole, refused whole."""

import json

import pytest

from front_door.config import Config, IntRange, NumberRange
from front_door.errors import ConfigError

RANGES = {
    "prompt": {"min": 1, "max": 1000},
    "negative_prompt": {"min": 0, "max": 1000},
    "n": {"min": 1, "max": 4},
    "num_inference_steps": {"min": 1, "max": 100},
    "guidance_scale": {"min": 1.0, "max": 20.0},
    "seed": {"min": 0, "max": 4294967295},
}
ENV = {
    "SD_VARIANT_PREFIX": "/sd/variants",
    "SD_DEFAULT_MODEL": "g5",
    "SD_IMAGE_BUCKET": "pictures",
    "SD_URL_TTL_S": "3600",
    "SD_GATEWAY_TIMEOUT_S": "29",
    "SD_CACHE_TTL_S": "60",
    "SD_MAX_BODY_BYTES": "32768",
    "SD_LIMITS": json.dumps(RANGES),
}


def test_a_complete_environment() -> None:
    config = Config.from_env(ENV)
    assert config.variant_prefix == "/sd/variants"
    assert config.url_ttl_s == 3600
    assert config.limits.n == IntRange(1, 4)
    assert config.limits.guidance_scale == NumberRange(1.0, 20.0)
    # Three seconds of the gateway's 29 are the front door's own.
    assert config.endpoint_timeout_s == 26


@pytest.mark.parametrize("name", ENV)
def test_every_variable_is_required(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is missing"):
        Config.from_env({key: value for key, value in ENV.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SD_VARIANT_PREFIX", "sd/variants"),
        ("SD_VARIANT_PREFIX", "/sd/variants/"),
        ("SD_DEFAULT_MODEL", " "),
        ("SD_IMAGE_BUCKET", ""),
        ("SD_URL_TTL_S", "0"),
        ("SD_URL_TTL_S", "604801"),
        ("SD_URL_TTL_S", "an hour"),
        ("SD_GATEWAY_TIMEOUT_S", "3"),
        ("SD_GATEWAY_TIMEOUT_S", "nan"),
        ("SD_CACHE_TTL_S", "-1"),
        ("SD_CACHE_TTL_S", "inf"),
        ("SD_MAX_BODY_BYTES", "1.5"),
        ("SD_MAX_BODY_BYTES", "6291457"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({**ENV, name: value})
    [mistake] = caught.value.mistakes
    assert mistake.startswith(f"{name} is {value!r} (expected ")


@pytest.mark.parametrize(
    ("limits", "mistake"),
    [
        ("{", "SD_LIMITS: is not JSON"),
        ("[]", "SD_LIMITS: is not a JSON object"),
        (json.dumps({k: v for k, v in RANGES.items() if k != "seed"}), "SD_LIMITS: seed must be"),
        (json.dumps({**RANGES, "n": {"min": 1}}), "SD_LIMITS: n must be"),
        (json.dumps({**RANGES, "n": [1, 4]}), "SD_LIMITS: n must be"),
        (json.dumps({**RANGES, "n": {"min": 4, "max": 1}}), "SD_LIMITS: n must be"),
        (json.dumps({**RANGES, "n": {"min": 1.0, "max": 4}}), "SD_LIMITS: n must be"),
        (json.dumps({**RANGES, "n": {"min": True, "max": 4}}), "SD_LIMITS: n must be"),
        (
            json.dumps({**RANGES, "guidance_scale": {"min": 1, "max": float("nan")}}),
            "SD_LIMITS: guidance_scale must be",
        ),
        (json.dumps({**RANGES, "steps": {"min": 1, "max": 2}}), "SD_LIMITS: steps is unknown"),
    ],
)
def test_wrong_limits(limits: str, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({**ENV, "SD_LIMITS": limits})
    [found] = caught.value.mistakes
    assert found.startswith(mistake)


def test_all_mistakes_are_reported_at_once() -> None:
    limits = json.dumps({**RANGES, "n": 4, "seed": None})
    with pytest.raises(ConfigError) as caught:
        Config.from_env({**ENV, "SD_URL_TTL_S": "x", "SD_IMAGE_BUCKET": "", "SD_LIMITS": limits})
    assert [mistake.split(" ")[0] for mistake in caught.value.mistakes] == [
        "SD_IMAGE_BUCKET",
        "SD_URL_TTL_S",
        "SD_LIMITS:",
        "SD_LIMITS:",
    ]
    assert all(mistake in str(caught.value) for mistake in caught.value.mistakes)
