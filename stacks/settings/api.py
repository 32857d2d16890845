"""`sd.api`: the public side."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from stacks.settings.c2pa import C2paSettings
from stacks.settings.problems import Problem
from stacks.settings.rules import (
    LOG_DAYS,
    flag,
    list_of,
    number,
    one_of,
    optional,
    setting,
    text,
    whole,
)

# docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
GATEWAY_LOGS = ("off", "account-role", "set-account-role")
AUTHORIZATIONS = ("keys", "iam", "cognito")
ORIGIN = text(r"\*|https?://[\w.-]+(:\d+)?", "an origin such as https://app.example.com, or *")
USER_POOL = text(
    r"arn:aws[\w-]*:cognito-idp:[\w-]+:\d{12}:userpool/[\w-]+", "the ARN of a Cognito user pool"
)
# Of a body, a web ACL sees no more (WAF's API reference, RequestBodyAssociatedResourceTypeConfig).
WAF_BODY_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """`rate_per_s` and `burst` throttle each API key; pictures stay in S3 for `image_days`, logs of
    requests, the containers' too, for `log_days`.

    `gateway_logs` are API Gateway's own, of accesses and errors. It writes both under one role that
    the account keeps for all its APIs: "account-role" takes the one that is there (none fails the
    deploy), "set-account-role" makes one, in place of any other.

    `embed_prompt` writes the prompts into the pictures' metadata, as Stable Diffusion's tools do;
    `log_prompts` writes them into the front door's log.

    `authorization` is what a caller needs besides a key: nothing ("keys"), a request signed for IAM
    ("iam"), or a token of the Cognito user pool ("cognito"). `cors_origins` are the pages that may
    call from a browser. `waf` puts a web ACL in front, which lets one address make `waf_rate`
    requests in five minutes; `tracing` turns X-Ray on.
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
    # Of an edit's form, which becomes base64 on its way into Lambda's 6 MB, as its pictures do on
    # their way into SageMaker's (sd_contract.limits). And of the texts of an embedding.
    max_edit_bytes: int = setting(whole(1_024, 4_600_000))
    embed_prompt: bool = setting(flag())
    log_prompts: bool = setting(flag())
    log_days: int = setting(one_of(*LOG_DAYS))
    gateway_logs: str = setting(one_of(*GATEWAY_LOGS))
    authorization: str = setting(one_of(*AUTHORIZATIONS))
    cognito_user_pool: str | None = setting(optional(USER_POOL))
    cors_origins: tuple[str, ...] | None = setting(optional(list_of(ORIGIN)))
    waf: bool = setting(flag())
    # WAF's own range (botocore, RateLimit).
    waf_rate: int = setting(whole(10, 2_000_000_000))
    tracing: bool = setting(flag())
    c2pa: C2paSettings = field(metadata={"section": C2paSettings})

    def problems(self) -> Iterator[Problem]:
        """What is wrong of one setting beside another."""
        if (self.authorization == "cognito") != bool(self.cognito_user_pool):
            allowed = f'{USER_POOL.allowed} where sd.api.authorization is "cognito", else empty'
            yield Problem("sd.api.cognito_user_pool", self.cognito_user_pool, allowed)
        if self.waf and self.max_body_bytes > WAF_BODY_BYTES:
            allowed = f"at most {WAF_BODY_BYTES} with sd.api.waf, which sees no more of a body"
            yield Problem("sd.api.max_body_bytes", self.max_body_bytes, allowed)
        yield from self.c2pa.problems()
