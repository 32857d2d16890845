"""What a deploy is told of a build, and how it gets there."""

from cfn_requests.sending import Put, put_json, shortened

__all__ = ["Put", "put_json", "signal"]


def signal(unique_id: str, *, reason: str, success: bool) -> dict[str, str]:
    """A wait condition's signal. A second one with the same id counts as sent again."""
    return {
        "Status": "SUCCESS" if success else "FAILURE",
        "Reason": shortened(reason),
        "UniqueId": unique_id,
        "Data": "",
    }
