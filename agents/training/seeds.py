"""Seeds of what is drawn by chance."""

import numpy as np


def derived_seed(*numbers: int) -> int:
    """A seed for one purpose, step or process, unlike those of others."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
