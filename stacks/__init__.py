import sys
from pathlib import Path

# What the stacks and the containers must agree on is stated once, below model_assets.
sys.path.append(str(Path(__file__).parents[1] / "model_assets"))
