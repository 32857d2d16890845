"""What a build's wrapper scripts tell the deploy, over real HTTP and with real processes."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from build_trigger.sending import put_json
from stacks.build_scripts import run_logged, send_signal

SCRIPTS = Path(send_signal.__file__).parent


class Sink(HTTPServer):
    """Keeps what is PUT; answers with the statuses in turn, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.statuses = [200]
        self.received: list[tuple[str | None, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/signal?signature=x%2Fy"


class _Keep(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        assert isinstance(self.server, Sink)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.headers["Content-Type"], json.loads(body)))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def environment(folder: Path, url: str, succeeding: str) -> dict[str, str]:
    return {
        "CODEBUILD_SRC_DIR": str(folder),
        "CODEBUILD_BUILD_ID": "project:0e9a",
        "CODEBUILD_BUILD_SUCCEEDING": succeeding,
        "CODEBUILD_LOG_PATH": "stream/1",
        "SD_LOG_GROUP": "/group one",
        "SD_WAIT_URL": url,
        "AWS_REGION": "eu-west-1",
        "PATH": "/usr/bin:/bin",
    }


def run(script: str, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_failing_command_s_last_words_become_the_reason(sink: Sink, tmp_path: Path) -> None:
    env = environment(tmp_path, sink.url, "0")
    line = "for i in 1 2 3 4; do echo line $i; done; echo 'unet: no such file' >&2; exit 3"
    failed = run("run_logged.py", line, env=env)
    assert failed.returncode == 3
    assert failed.stdout.splitlines()[0] == "line 1"  # the log has all of it

    assert run("send_signal.py", env=env).returncode == 0
    ((content_type, signal),) = sink.received
    # The URL's signature covers an empty content type.
    assert content_type == ""
    assert (signal["Status"], signal["UniqueId"]) == ("FAILURE", "0e9a")
    assert "line 4 / unet: no such file" in signal["Reason"]
    assert "line 1" not in signal["Reason"]
    assert (
        "region=eu-west-1#logsV2:log-groups/log-group/$252Fgroup$2520one/log-events/stream$252F1"
        in (signal["Reason"])
    )


def test_success_is_told_as_such(sink: Sink, tmp_path: Path) -> None:
    env = environment(tmp_path, sink.url, "1")
    assert run("run_logged.py", "echo fine", env=env).returncode == 0
    assert run("send_signal.py", env=env).returncode == 0
    assert [signal["Status"] for _, signal in sink.received] == ["SUCCESS"]


def test_a_failure_within_a_pipe_counts(tmp_path: Path) -> None:
    env = environment(tmp_path, "", "0")
    assert run("run_logged.py", "false | cat", env=env).returncode == 1
    assert (tmp_path / ".failure").read_text() == "exit status 1, without a word"


def test_a_failure_in_another_phase_has_a_reason_too(tmp_path: Path) -> None:
    signal = send_signal.signal(environment(tmp_path, "", "0"), None)
    assert signal["Reason"].startswith("the build failed (log: https://eu-west-1.console")


def test_a_long_reason_keeps_its_end(tmp_path: Path) -> None:
    signal = send_signal.signal(environment(tmp_path, "", "0"), "x" * 5000 + "the end")
    assert "xthe end (log:" in signal["Reason"]
    assert len(json.dumps(signal)) < 4096


def test_lines_that_do_not_fit_are_left_out_whole(tmp_path: Path) -> None:
    env = environment(tmp_path, "", "0")
    signal = send_signal.signal(env, "x" * 900 + "\n" + "why " * 50 + "\nthe end")
    assert signal["Reason"].startswith("why why")
    assert "why / the end (log:" in signal["Reason"]


def test_output_that_is_no_text_stops_nothing(tmp_path: Path) -> None:
    note = tmp_path / "note"
    assert run_logged.run(r"printf '\xff\xfe\n'; exit 1", note) == 1
    assert note.exists()


def test_the_trigger_sends_as_the_build_does_and_tries_again(sink: Sink) -> None:
    sink.statuses = [503, 500, 200]
    put_json(sink.url, {"Status": "SUCCESS"})
    assert [kind for kind, _ in sink.received] == ["", "", ""]


def test_the_trigger_gives_up_after_three(sink: Sink) -> None:
    sink.statuses = [403]
    with pytest.raises(OSError, match="403"):
        put_json(sink.url, {"Status": "SUCCESS"})
    assert len(sink.received) == 3
