"""What the person who runs the app asks an account: before a deploy, while it runs, and after the
last destroy."""

import os
import sys
from pathlib import Path

# The code that stops and starts endpoints by the clock, and the contract that it reads.
sys.path += [str(Path(__file__).parents[1] / room) for room in ("lambda", "model_assets")]
# The CDK's library runs Node, which comes with the environment and may be nowhere else.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
)
