"""A study that is interrupted goes on by the same command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vista_sim.errors import VistaError
from vista_sim.interrupts import interruptible


@contextmanager
def study() -> Iterator[None]:
    """Around all that a study does: a core for each process; errors in one line, status 2."""
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):  # a core each, here and in workers
        os.environ.setdefault(name, "1")
    try:
        with interruptible("interrupted; the same command goes on"):
            yield
    except VistaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
