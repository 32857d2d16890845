"""The local DJL host does what the real server was seen to do (the list is in its docstring)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_cloud.djl.host import parse_request
from local_cloud.djl.process import tagged
from tests.fakes.djl_hosting import Host, echo_model, hosted
from tests.fakes.processes import alive

DIE = "os._exit(1)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return echo_model(tmp_path_factory.mktemp("echo") / "djl")


@pytest.fixture(scope="module")
def host(folder: Path) -> Iterator[Host]:
    """One that no test may kill."""
    with hosted(folder) as started:
        yield started.until_it_serves()


def answer(host: Host, code: str = "pass") -> tuple[int, str, str]:
    """Status, type and message of what DJL itself answers."""
    reply = host.run(code)
    document = reply.json()
    assert document["code"] == reply.status_code
    return document["code"], document["type"], document["message"]


def ping(host: Host) -> tuple[int, object]:
    reply = host.ping()
    assert reply
    return reply.status_code, reply.json()


def test_a_death_over_a_request_is_overlooked_by_ping(folder: Path) -> None:
    with hosted(folder) as host:
        host.until_it_serves()
        status, kind, message = answer(host, DIE)
        assert (status, kind) == (503, "WlmException")
        assert message.endswith("Python worker disconnected.")
        assert answer(host)[:2] == (503, "WlmCapacityException")
        assert ping(host) == (200, {"djl": {"status": "Healthy"}})
        assert host.running


def test_a_death_over_a_request_fails_ping_with_a_threshold_of_zero(folder: Path) -> None:
    with hosted(folder, SERVING_RETRY_THRESHOLD="0") as host:
        host.until_it_serves()
        assert ping(host) == (200, {"djl": {"status": "Healthy"}})
        assert answer(host, DIE)[:2] == (503, "WlmException")
        assert ping(host) == (500, {"djl": {"status": "FAILED"}})
        assert answer(host) == (503, "WlmException", "Model is not ready: djl")


def test_a_prediction_time_out_ends_the_process_for_good(folder: Path) -> None:
    with hosted(folder, SERVING_RETRY_THRESHOLD="0", PREDICT_TIMEOUT="1") as host:
        python = host.until_it_serves().python
        found = answer(host, "time.sleep(600)")
        assert found == (503, "WlmException", "java.util.concurrent.TimeoutException")
        assert ping(host) == (500, {"djl": {"status": "FAILED"}})
        host.until(lambda: not alive(python.pid))


def test_a_death_between_requests_is_never_noticed(folder: Path) -> None:
    with hosted(folder, SERVING_RETRY_THRESHOLD="0") as host:
        host.until_it_serves().kill_python()
        stopped = (400, "TranslateException", "Backend Python process is stopped.")
        host.until(lambda: answer(host) == stopped)
        assert ping(host) == (200, {"djl": {"status": "Healthy"}})
        assert answer(host) == stopped
        assert host.running


def test_a_loading_time_out_ends_the_host(tmp_path: Path) -> None:
    folder = echo_model(tmp_path / "djl")
    model = folder / "model.py"
    model.write_text(model.read_text().replace("return None", "time.sleep(600)"))
    with hosted(folder, MODEL_LOADING_TIMEOUT="1") as host:
        assert host.last_words().endswith("TimeoutException")


def test_a_line_of_two_writes_and_a_long_one_have_tags_inside(host: Host) -> None:
    host.run("os.write(1, b'two'); os.write(1, b'writes\\n')")
    host.until(lambda: "two[1,0]<stdout>:writes" in host.said)
    host.run("os.write(1, b'x' * 5000 + b'\\n')")
    host.until(lambda: f"{'x' * 4096}[1,0]<stdout>:{'x' * 904}" in host.said)


def test_tags_stand_where_mpirun_puts_them() -> None:
    """As seen with Open MPI 4.1."""
    chunks = [b"a\nb", b"c\n", b"", b"d", b"\n", b"e"]
    assert list(tagged(iter(chunks), "T:")) == ["T:a", "T:bT:c", "T:dT:", "T:e"]


def test_standard_error_is_a_warning(host: Host) -> None:
    host.run("os.write(2, b'careful\\n')")
    host.until(lambda: any(line.endswith("[1,0]<stderr>:careful") for line in host.lines))
    (line,) = [line for line in host.lines if line.endswith("careful")]
    assert line.startswith("[WARN ] PyProcess - W-")


def test_metrics_stay_in_the_container(host: Host) -> None:
    host.run("os.write(1, b'[METRICS]X.Count:1|#Model:djl\\nafter\\n')")
    host.until(lambda: "after" in host.said)
    assert not any("METRICS" in line for line in host.lines)


def test_batch_size_among_the_custom_attributes_is_a_424(host: Host) -> None:
    reply = host.post("x", X_Amzn_SageMaker_Custom_Attributes="batch_size=2")
    assert (reply.status_code, reply.json()["code"]) == (424, 424)


def test_a_form_is_parsed() -> None:
    request = parse_request([("Content-Type", "application/x-www-form-urlencoded")], b"a=1&b=2")
    assert [(key, bytes(value)) for key, value in request.content.items()] == [
        ("a", b"1"),
        ("b", b"2"),
    ]
    no_field = parse_request(
        [("content-type", "application/x-www-form-urlencoded; charset=utf-8")], b'{"prompt": "a"}'
    )
    assert no_field.get_as_bytes() is None


def test_what_is_finalized_comes_after_the_answer(folder: Path) -> None:
    with hosted(folder) as host:
        python = host.until_it_serves().python
        assert host.run("output.finalize(os._exit, 1)").text == "output.finalize(os._exit, 1)"
        host.until(lambda: not alive(python.pid))


def test_a_missing_entry_point_is_the_last_line(tmp_path: Path) -> None:
    folder = echo_model(tmp_path / "djl")
    (folder / "model.py").unlink()
    with hosted(folder) as host:
        assert "option.entryPoint='model.py': no such file" in host.last_words()


def test_a_handler_that_fails_to_initialize_ends_the_host(tmp_path: Path) -> None:
    folder = echo_model(tmp_path / "djl")
    (folder / "model.py").write_text("def handle(inputs):\n    raise ValueError('no')\n")
    with hosted(folder) as host:
        assert host.last_words().endswith("Failed to initialize model: prediction failure")
