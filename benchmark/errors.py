"""What the benchmark refuses or fails on, all caught once in `benchmark.cli`.

BenchmarkError            shown to the user as one line, exit status 1
├── ResultsMismatch       a results file made with other settings than this run's
├── PriceRefreshFailed    the Price List API gave no answer; the dated file is untouched
└── RequestFailed         one request's failure: recorded and counted, never fatal to a run
    └── RequestTimedOut
"""


class BenchmarkError(Exception):
    pass


class ResultsMismatch(BenchmarkError):
    pass


class PriceRefreshFailed(BenchmarkError):
    pass


class RequestFailed(BenchmarkError):
    """`kind` is what failures are counted by: `http_500`, `connection`, `bad_answer`, `timeout`."""

    def __init__(self, kind: str, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.http_status = http_status


class RequestTimedOut(RequestFailed):
    def __init__(self, seconds: float) -> None:
        super().__init__("timeout", f"no answer within {seconds:g} s")
