"""Lenses that a trace may bring: those that can be seen through are used, others refused."""

import dataclasses
import math

import numpy as np
import pytest
from tiny import calibration, frame_of, write_tiny_trace

from vista_sim import World
from vista_sim.errors import TraceError, WorldError
from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import TraceWriter

SIZE = (48, 160)
#: r = f theta: 95 degrees on each side reach the edges of a picture of that width.
FISHEYE = Lens("fisheye", 80 / math.radians(95), 80 / math.radians(95), 79.5, 23.5, SIZE)


@pytest.fixture(scope="module")
def fisheye_trace(tmp_path_factory):
    tiny = Trace.open(write_tiny_trace(tmp_path_factory.mktemp("tiny") / "tiny"))
    folder = tmp_path_factory.mktemp("traces") / "fisheye"
    with TraceWriter(folder, name="wide", licence="", source="", vehicle=Vehicle()) as writer:
        ego = tiny.ego
        times = np.round(ego.t * 1e9).astype(np.int64)
        writer.write_ego(times, ego.position, ego.quaternion, ego.speed, ego.yaw_rate)
        camera = writer.add_camera("front", dataclasses.replace(calibration(), lens=FISHEYE), 10.0)
        for index in range(31):
            camera.write(frame_of(index, SIZE), index * 100_000_000)
    return folder


def test_the_field_of_view_of_a_fisheye_beyond_a_half_circle_is_known():
    assert math.degrees(FISHEYE.fov) == pytest.approx(190.0)


def test_a_camera_of_another_shape_than_a_very_wide_fisheye_is_refused_when_it_is_added(
    fisheye_trace,
):
    car = World([fisheye_trace]).spawn_agent()
    with pytest.raises(WorldError, match=r"sees 190 degrees.*at most 170; give fov"):
        car.spawn_camera("camera", size=(66, 200))
    assert not car.specs


def test_a_very_wide_fisheye_is_seen_through_at_its_own_shape_and_by_a_narrower_camera(
    fisheye_trace,
):
    world = World([fisheye_trace])
    car = world.spawn_agent()
    car.spawn_camera("camera", size=(24, 80))
    car.spawn_camera("narrow", size=(40, 60), fov=1.2)
    world.reset(seed=0)
    for name in ("camera", "narrow"):
        assert car.observations[name].std() > 5


@pytest.mark.parametrize("k1", [-0.7, -3.0])
def test_a_distortion_that_folds_half_the_picture_is_refused(k1):
    # The radius r (1 + k1 r²) is largest at r = sqrt(-1 / (3 k1)); 0.69 and 0.33, of 0.84 here.
    lens = Lens("pinhole", 180.0, 180.0, 151.8, 46.3, (94, 310), (k1, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(TraceError, match=r"pixels without a ray; is it of another lens"):
        CameraCalibration(lens)


@pytest.mark.parametrize(
    "distortion", [(-0.37, 0.2, 0.001, -0.0004, -0.06), (0.1, 0, 0, 0, 0), (-0.28, 0.07, 0, 0, 0)]
)
def test_distortions_of_real_cameras_are_taken(distortion):
    lens = Lens("pinhole", 960.0, 960.0, 690.0, 250.0, (512, 1392), distortion)
    assert lens.rayless_share() < 0.02
    assert CameraCalibration(lens).lens is lens
