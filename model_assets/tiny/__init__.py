import sys
from pathlib import Path

# It draws by the containers' own code, which lies beside it.
sys.path.append(str(Path(__file__).parents[1]))
