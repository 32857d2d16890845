"""What the person who runs the app asks an account: before a deploy, and after the last destroy."""

import sys
from pathlib import Path

# Where the code is that stops and starts endpoints by the clock.
sys.path.append(str(Path(__file__).parents[1] / "lambda"))
