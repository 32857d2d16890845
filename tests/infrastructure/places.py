"""The regions and settings that the app's templates are checked for."""

from __future__ import annotations

from pathlib import Path

from tests.infrastructure.support import Synthesized, synthesize

REGIONS = ("us-east-1", "eu-west-1", "ap-northeast-1")
PROFILES: dict[str, dict[str, str]] = {
    "aws": {},
    "local": {"profile": "local"},
    "aws without Trainium": {"sd.variants.inf2.compile.compute": "codebuild-cpu"},
    "aws with gateway logs": {"sd.api.gateway_logs": "set-account-role"},
}


def in_region(folder: Path, region: str, profile: str) -> Synthesized:
    return synthesize(folder, **{"sd.region": region, **PROFILES[profile]})
