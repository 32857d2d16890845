"""One phase of a build as a bash script, and what became of it.

CodeBuild runs all phases in one shell, so variables and the working folder carry over. Here each
phase has a process of its own, which a stop can end, and hands its variables on through a file.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from local_cloud.buildspec import Phase

RESTORE = """
if [ -e {state} ]; then . {state} 2>/dev/null; cd "$SD_LOCAL_CWD"; fi
export CODEBUILD_BUILD_SUCCEEDING={succeeding}
save() {{ SD_LOCAL_CWD=$PWD; declare -p > {state}; }}
trap save EXIT
"""
# `exit` in a command ends the shell, and the phase with it, as it does on CodeBuild.
COMMAND = """
echo "[Container] Running command "{shown}
printf %s {shown} > {failed}
eval {command} || exit
rm -f {failed}
"""
ALWAYS = """
echo "[Container] Running command "{shown}
( eval {command} )
"""


@dataclass(frozen=True)
class PhaseResult:
    ok: bool
    context: str = ""
    """CodeBuild's message for a command that failed, empty otherwise."""


@dataclass(frozen=True)
class PhaseFiles:
    """Where a build keeps what one phase hands to the next, outside its source."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "shell-state"

    @property
    def failed(self) -> Path:
        return self.folder / "failed-command"

    def script(self, phase: Phase, succeeding: bool) -> str:
        """The bash script of a phase's commands; its `finally` has `always_script`."""
        return self._restore(succeeding) + "".join(self._command(line) for line in phase.commands)

    def always_script(self, phase: Phase, succeeding: bool) -> str:
        lines = (
            ALWAYS.format(shown=shlex.quote(line), command=shlex.quote(line))
            for line in phase.always
        )
        return self._restore(succeeding) + "".join(lines)

    def result(self, exit_code: int) -> PhaseResult:
        if exit_code == 0:
            self.failed.unlink(missing_ok=True)
            return PhaseResult(ok=True)
        command = self.failed.read_text() if self.failed.exists() else ""
        return PhaseResult(
            ok=False,
            context=f"Error while executing command: {command}. Reason: exit status {exit_code}",
        )

    def _restore(self, succeeding: bool) -> str:
        # Said anew in every phase: the state restored is that of the phase before.
        return RESTORE.format(state=shlex.quote(str(self.state)), succeeding=int(succeeding))

    def _command(self, line: str) -> str:
        quoted = shlex.quote(line)
        return COMMAND.format(shown=quoted, command=quoted, failed=shlex.quote(str(self.failed)))
