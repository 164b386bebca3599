"""Kinds of episodes: the column `kind` of a run."""

from __future__ import annotations

DRIVING = "closed_loop"  # a section of road is driven
RECOVERY = "recovery"  # the way back to the path is asked
