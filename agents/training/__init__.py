"""Gradient descent on batches of driving sequences, from any source, to a policy folder."""

from .augment import AugmentConfig
from .config import TrainingConfig
from .errors import TrainingError
from .loop import Report, TrainingResult, train
from .range_test import RangeConfig, RangeTest, range_test

__all__ = [
    "AugmentConfig",
    "RangeConfig",
    "RangeTest",
    "Report",
    "TrainingConfig",
    "TrainingError",
    "TrainingResult",
    "range_test",
    "train",
]
