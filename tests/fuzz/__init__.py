"""Damaged inputs: whatever comes in from outside is broken in named ways, and nothing may surprise.

`python -m tests.fuzz` (or `make fuzz`) runs it; see `__main__`. A case is a target and a seed: the
seed draws the valid input, what damages it, and the command that is to read it.
"""

import sys
from pathlib import Path

sys.path[:0] = [p for p in (str(Path(__file__).parents[1]),) if p not in sys.path]
