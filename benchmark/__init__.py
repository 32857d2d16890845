"""Measures the served variants, puts prices on the figures, and draws the study's tables.

Three rooms, each using only those after it: `report` writes tables, charts and a page of what `run`
recorded of the public API; `figures` calculates what needs no endpoint. `cli` parses into `options`
and calls them; `calculators` joins `figures` with a run's latencies. `quality` and `speed`
draw by themselves, with the containers' code.
"""

import sys
from pathlib import Path

# What the API and its callers must agree on is stated once, below model_assets.
sys.path.append(str(Path(__file__).parents[1] / "model_assets"))
