"""A user pool's OpenID document where MiniStack's does other than it has to here."""

from __future__ import annotations

from ministack.services import cognito

from local_cloud.ministack.answers import Response


def correct_user_pools() -> None:
    """The document's addresses are where this cloud answers: plainly. MiniStack takes their scheme
    from a header by which every request here says that it came over TLS (application.py)."""
    known = cognito.well_known_openid_configuration

    def plain(pool: str, region: str, host: str, _scheme: str) -> Response:
        answer: Response = known(pool, region, host, "http")
        return answer

    cognito.well_known_openid_configuration = plain
