"""Recorded pictures without their distortion, against a scene painted on the viewing rays."""

import dataclasses

import numpy as np
import pytest

from vista_sim.geometry.pinhole import PinholePictures
from vista_sim.geometry.working import WorkingCamera
from vista_sim.traces.calibration import Lens

IDEAL = Lens.from_fov((120, 200), 1.2)
BENT = dataclasses.replace(IDEAL, distortion=(-0.25, 0.06, 0.001, -0.0005, 0.0))
FISHEYE = Lens("fisheye", 90.0, 90.0, 99.5, 59.5, (120, 200), (0.02, -0.01, 0.0, 0.0))


def _painted(lens):
    """Colours (h, w, 3) that are a smooth function of the viewing direction."""
    x, y, z = np.moveaxis(lens.rays(), -1, 0)
    a, b = 4 * x / z, 4 * y / z
    image = 128 + 100 * np.stack([np.sin(a + 1), np.cos(b), np.sin(a - b)], axis=-1)
    return np.round(image).astype(np.uint8)


@pytest.mark.parametrize("lens", [IDEAL, BENT, FISHEYE])
@pytest.mark.parametrize("size", [(120, 200), (48, 80), (64, 96)])
def test_every_pixel_shows_what_an_ideal_lens_would(lens, size):
    pictures = PinholePictures(lens, WorkingCamera(lens.resized((60, 100))).lens, size)
    assert (pictures.lens.size, pictures.lens.distorted) == (size, False)
    found = pictures.picture(_painted(lens)).astype(int)
    seen = lens.project(pictures.lens.rays())  # where the recorded picture has it
    inside = ((seen > 2) & (seen < [197, 117])).all(axis=-1)
    error = np.abs(found - _painted(pictures.lens))[inside]
    assert inside.mean() > 0.7
    assert error.mean() < 1.5
    assert np.quantile(error, 0.99) < 8


def test_a_picture_as_recorded_is_not_touched():
    image = _painted(IDEAL)
    assert PinholePictures(IDEAL, IDEAL, IDEAL.size).picture(image) is image
