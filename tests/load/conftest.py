"""`load/` holds scripts: its modules are imported by their bare names."""

import sys
from pathlib import Path

LOAD = Path(__file__).parents[2] / "load"
sys.path += [str(LOAD), str(LOAD / "peers")]
