"""The real CDK CLI against a running local cloud: bootstrap, deploy, destroy, and what came out."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from api_client import Api
from local_cloud.child import ChildCloud
from local_cloud.failed import Failed
from local_cloud.node import NODE_FOLDER, SEARCH_PATH, CdkCli
from local_cloud.settings import ACCOUNT, REGION, REPOSITORY, api_url

# Colours and the CLI's own progress are for people at a terminal; CDK's own validation, which only
# warns, is half of a synthesis' time.
CLI_ENVIRONMENT = {
    "NO_COLOR": "1",
    "CDK_DISABLE_CLI_TELEMETRY": "1",
    "CDK_VALIDATION": "false",
    "NODE_NO_WARNINGS": "1",
}
_FAILED = re.compile(r"\b(?:CREATE|UPDATE)_FAILED\b")


class DeployFailed(Failed):
    """The CLI said no; the message ends with its reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The deploy failed:\n{reason}")


class Deployment:
    """Runs the CDK CLI in the repository's root; what it synthesizes is in the cloud's state."""

    def __init__(self, cloud: ChildCloud, cli: CdkCli, context: Sequence[str] = ()) -> None:
        """`context` are `name=value` pairs on top of profile=local."""
        self._cloud, self._cli, self._context = cloud, cli, tuple(context)
        self._process: subprocess.Popen[str] | None = None

    def bootstrap(self) -> str:
        # With the environment named, the CLI needn't synthesize the app to find it.
        return self._cdk(["bootstrap", f"aws://{ACCOUNT}/{REGION}", "--app", ""])

    def deploy(self, stack: str, *, context: Sequence[str] = ()) -> str:
        """`cdk deploy`; what it printed. DeployFailed with the failed resource's reason."""
        return self._cdk(
            ["deploy", stack, "--require-approval", "never", "--progress", "events",
             *self._arguments(context)]
        )  # fmt: skip

    def destroy(self, stack: str) -> str:
        return self._cdk(["destroy", stack, "--force", *self._arguments(())])

    def api(self) -> Api:
        """Where SdApiStack's API answers, and its key's value."""
        outputs = self.outputs("SdApiStack")
        key = self._cloud.client("apigateway").get_api_key(
            apiKey=outputs["ApiKeyId"], includeValue=True
        )
        return Api(api_url(self._cloud.settings, outputs["ApiUrl"]), key["value"])

    def outputs(self, stack: str) -> dict[str, str]:
        described = self._cloud.client("cloudformation").describe_stacks(StackName=stack)
        return {
            output["OutputKey"]: output["OutputValue"]
            for output in described["Stacks"][0].get("Outputs", [])
        }

    def command_line(self) -> str:
        """A shell line that deploys `{stack}` from the repository's root while the cloud runs."""
        variables = self._cloud.environment()
        words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
        words.append(f'PATH={shlex.quote(NODE_FOLDER)}:"$PATH"')
        context = [f"-c {shlex.quote(pair)}" for pair in ("profile=local", *self._context)]
        words += ["npx", "cdk", "deploy", "{stack}", *context, "--require-approval", "never"]
        return " ".join(words)

    def stop(self) -> None:
        """End a CLI that is still running."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)

    def _arguments(self, context: Sequence[str]) -> list[str]:
        pairs = ("profile=local", *self._context, *context)
        words = [word for pair in pairs for word in ("-c", pair)]
        return [*words, "--output", str(self._cloud.state / "cdk.out")]

    def _cdk(self, arguments: Sequence[str]) -> str:
        self._process = subprocess.Popen(
            [str(self._cli.program), *arguments, "--ci", "--no-notices"],
            cwd=REPOSITORY,
            env={
                # A profile or session of the user's real account must not mix in.
                **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
                **self._cloud.environment(),
                **CLI_ENVIRONMENT,
                "PATH": SEARCH_PATH,
                "TMPDIR": str(self._cloud.settings.temporary),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = self._process.communicate()
        finally:
            self.stop()
        if self._process.returncode:
            raise DeployFailed(failure_reason(output))
        return output


def failure_reason(output: str) -> str:
    """What a person needs of the CLI's output: the failed resources' lines, or its last ones."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # The CLI says each failure twice, with and without its progress: what follows is the same.
    failed = dict.fromkeys(
        line[found.end() :].strip(" |")
        for line in lines
        if (found := _FAILED.search(line)) and "cancelled" not in line
    )
    return "\n".join(failed) or "\n".join(lines[-25:]) or "the CDK CLI failed without a word"


def out_folder() -> Path:
    """Where pictures and local.json go: out/, or what SD_OUT names."""
    folder = Path(os.environ.get("SD_OUT") or REPOSITORY / "out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
