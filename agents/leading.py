"""Which of several processes speaks and writes."""

import os


def leads() -> bool:
    """Whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"
