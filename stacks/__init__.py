import sys
from pathlib import Path

# `sd_contract` has this name in the containers too.
sys.path.append(str(Path(__file__).parent.parent / "model_assets"))
