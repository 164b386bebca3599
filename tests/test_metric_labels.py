"""Every metric has a name of its own and a label to be shown by."""

import math

from vista_sim.evaluation.labels import LABELS, number, shown
from vista_sim.evaluation.metrics import METRIC_NAMES


def test_every_metric_has_a_label_and_every_label_a_metric():
    assert len(set(METRIC_NAMES)) == len(METRIC_NAMES)
    scores = {name for name in METRIC_NAMES if "-score/" in name}
    assert set(LABELS) == set(METRIC_NAMES) - scores
    assert len({shown(name)[0] for name in METRIC_NAMES}) == len(METRIC_NAMES)


def test_values_are_shown_in_the_unit_of_their_label():
    assert number("mean_heading_error_rad", math.pi) == "180.00"
    assert number("recovery_rate", 0.256) == "25.6"
    assert number("distance_m", 12.4) == "12"
    assert number("driving-score/2 without other road users", 0.5) == "50.0"
    assert number("distance_m", math.nan) == "-"
