"""What pages of another origin may see of an answer. Gateway and front door both say it."""

EXPOSED_HEADERS = ("x-request-id", "x-should-retry", "Retry-After", "Allow")
