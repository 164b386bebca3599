"""Lost and late images, against what is worked out by hand."""

from itertools import pairwise

import numpy as np
import pytest

from vista_sim.errors import WorldError
from vista_sim.sensors.delivery import FrameDelivery


def seen(delivery, dt=0.1, steps=8):
    """Numbers of the images that are seen at steps of dt; image i has the value and validity i."""
    delivery.reset()
    numbers = []
    for i in range(steps):
        image = np.full((1, 1, 3), i, dtype=np.uint8)
        image, validity = delivery.deliver(i * dt, (image, float(i)))
        assert validity == image[0, 0, 0]
        numbers.append(int(validity))
    return numbers


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (0.0, [0, 1, 2, 3, 4, 5, 6, 7]),
        (0.1, [0, 0, 1, 2, 3, 4, 5, 6]),
        (0.15, [0, 0, 0, 1, 2, 3, 4, 5]),
        (0.3, [0, 0, 0, 0, 1, 2, 3, 4]),
    ],
)
def test_late_images_are_those_that_were_taken_before(late, expected):
    assert seen(FrameDelivery(0.0, late, np.random.default_rng(0))) == expected


def test_a_lost_image_leaves_the_last_one():
    # The generator's own numbers say which are lost.
    lost = np.random.default_rng(3).random(8) < 0.5
    expected, last = [], 0
    for i in range(8):
        last = last if lost[i] and i > 0 else i
        expected.append(last)
    assert 2 <= lost[1:].sum() <= 6
    assert seen(FrameDelivery(0.5, 0.0, np.random.default_rng(3))) == expected


def test_images_are_lost_as_often_as_was_said():
    numbers = seen(FrameDelivery(0.3, 0.0, np.random.default_rng(1)), steps=250)
    repeats = sum(a == b for a, b in pairwise(numbers))
    assert repeats / 249 == pytest.approx(0.3, abs=0.09)  # three standard deviations


def test_lost_and_late_go_together():
    lost = np.random.default_rng(3).random(8) < 0.5
    lost[0] = False
    arrived = [i for i in range(8) if not lost[i]]
    expected = [max([0, *(j for j in arrived if j <= i - 2)]) for i in range(8)]
    assert seen(FrameDelivery(0.5, 0.2, np.random.default_rng(3))) == expected


@pytest.mark.parametrize(("dropped", "late"), [(1.0, 0.0), (-0.1, 0.0), (0.0, -1.0), (0.0, np.inf)])
def test_what_cannot_be_is_refused(dropped, late):
    with pytest.raises(WorldError):
        FrameDelivery(dropped, late, np.random.default_rng(0))
