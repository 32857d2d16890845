"""The front door and the authorizer under Lambda's own client, timed."""

import sys

import pytest

from benchmark.cli import main
from benchmark.errors import BenchmarkError
from benchmark.overhead.lambda_process import lambda_process

if sys.platform != "linux":
    pytest.skip("awslambdaric is for Linux", allow_module_level=True)


def test_the_command_times_requests_cold_starts_and_imports(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["overhead", "--requests", "3"]) == 0
    said = capsys.readouterr().out
    rows = [line.split(" | ") for line in said.splitlines() if line.startswith("| ")]
    by_name = {row[0].removeprefix("| "): row[1:] for row in rows}
    for function in ("front door", "authorizer"):
        cold, ready, cpu, p50, *_ = map(float, by_name[function][:4])
        assert 0 < ready <= cold
        assert cpu > 0
        assert 0 < p50 < cold
    assert float(by_name["front_door.handler"][0].strip(" |")) > 0


def test_a_function_that_fails_is_said() -> None:
    with (
        pytest.raises(BenchmarkError, match=r"the function failed: .*No module named 'no_such'"),
        lambda_process("no_such.handler", {}),
    ):
        pass
