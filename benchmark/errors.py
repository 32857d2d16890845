"""What the benchmark refuses or fails on, all caught once in `benchmark.cli`.

BenchmarkError            shown to the user as one line, exit status 1
└── RequestFailed         one request's failure: recorded and counted, never fatal to a run
"""


class BenchmarkError(Exception):
    pass


class RequestFailed(BenchmarkError):
    """`kind` is what failures are counted by: `http_500`, `connection`, `bad_answer`, `timeout`."""

    def __init__(self, kind: str, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.http_status = http_status
