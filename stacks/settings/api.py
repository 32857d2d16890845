"""`sd.api`: the public side."""

from dataclasses import dataclass

from stacks.settings.rules import LOG_DAYS, number, one_of, setting, text, whole

# docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
GATEWAY_LOGS = ("off", "account-role", "set-account-role")


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """`rate_per_s` and `burst` throttle each API key; pictures stay in S3 for `image_days`, logs of
    requests, the containers' too, for `log_days`.

    `gateway_logs` are API Gateway's own, of accesses and errors. It writes both under one role that
    the account keeps for all its APIs: "account-role" takes the one that is there (none fails the
    deploy), "set-account-role" makes one, in place of any other.
    """

    default_model: str = setting(text(r"\w+", "one of sd.variants"))
    rate_per_s: float = setting(number(0.1, 10_000))
    burst: int = setting(whole(1, 5_000))
    requests_per_day: int = setting(whole(1, 100_000_000))
    # S3 honours a presigned URL for a week at most, and no longer than the signing role's session.
    url_ttl_s: int = setting(whole(60, 43_200))
    image_days: int = setting(whole(1, 365))
    cache_ttl_s: int = setting(whole(0, 3_600))
    # A prompt and a negative prompt of 1000 characters, escaped to 12 bytes each, take 24 kB.
    max_body_bytes: int = setting(whole(1_024, 1_048_576))
    log_days: int = setting(one_of(*LOG_DAYS))
    gateway_logs: str = setting(one_of(*GATEWAY_LOGS))
