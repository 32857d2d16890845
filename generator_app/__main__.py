"""`make app`, or `python -m generator_app [--url URL --key KEY] [--port 8501]`: by default of the
local cloud that `make up` runs."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from generator_app.session import KEY, URL

ROOT = Path(__file__).parent.parent


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m generator_app", description=__doc__)
    parser.add_argument("--url", help="of the API, ending in /v1")
    parser.add_argument("--key", help="of the API")
    parser.add_argument("--port", type=int, default=8501)
    given = parser.parse_args(arguments)
    if bool(given.url) != bool(given.key):
        parser.error("--url and --key go together")
    try:
        url, key = (given.url, given.key) if given.url else running()
    except FileNotFoundError as missing:
        parser.error(
            f"{missing.filename} isn't there: `make up` runs, or --url and --key say where"
        )
    print(f"The page of {url}: http://localhost:{given.port} (Ctrl-C ends it)", flush=True)
    try:
        return subprocess.run(command(given.port), cwd=ROOT, env=os.environ | {URL: url, KEY: key},
                              check=False).returncode  # fmt: skip
    except KeyboardInterrupt:
        return 0


def running() -> tuple[str, str]:
    """URL and key of what `make up` runs. Raises FileNotFoundError."""
    folder = Path(os.environ.get("SD_OUT", ROOT / "out"))
    facts = json.loads((folder / "local.json").read_text())
    return facts["api_url"], facts["api_key"]


def command(port: int, *, address: str = "127.0.0.1") -> list[str]:
    """Streamlit over the pages, to be run in the folder that generator_app is in."""
    return [
        sys.executable, "-m", "streamlit", "run", "generator_app/app.py",
        "--server.headless=true", f"--server.port={port}", f"--server.address={address}",
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
