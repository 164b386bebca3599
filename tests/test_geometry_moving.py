"""Things that move get a place on the road, and what stands is left as it is."""

import numpy as np
import pytest
from rig import FRONT, vehicle_at, write_rig
from textured import GROUND, MOUNT, STREET, draw, wall
from traffic import Box, scene

from vista_sim.geometry.bake import bake
from vista_sim.geometry.census import census
from vista_sim.geometry.moving import MOVING_CONFIDENCE
from vista_sim.geometry.moving_outlines import grown
from vista_sim.geometry.multiview import MultiView
from vista_sim.geometry.settings import Matching
from vista_sim.geometry.store import INVERSE_DEPTH
from vista_sim.geometry.tracked import MovingBoxes
from vista_sim.geometry.working import WorkingFrame
from vista_sim.traces.calibration import Lens, Vehicle
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import planar_pose

LENS = Lens.from_fov((120, 200), 1.3)
SPEED = 9.0  # m/s, ten frames a second
MIDDLE = 2


def _seen(boxes, street=STREET):
    """Inverse depth and confidence of the middle of five frames, its truth, and the boxes."""
    t = (np.arange(5) - MIDDLE) / 10
    poses = np.array([planar_pose(SPEED * k, 0, 0) for k in t]) @ MOUNT
    drawn = [draw(scene(boxes, k, street), p, LENS, fine=2) for k, p in zip(t, poses, strict=True)]
    frames = [WorkingFrame(g, census(g), i) for i, _ in drawn for g in [i[..., 0].copy()]]
    view = MultiView(LENS, MOUNT, poses, Matching())
    others = [[k for k in range(5) if k != i] for i in range(5)]
    matched = [
        view.match(i, others[i], frames[i], [frames[k] for k in others[i]]) for i in range(5)
    ]
    rest = [matched[k] for k in others[MIDDLE]]
    found, sure = view.merge(MIDDLE, others[MIDDLE], frames[MIDDLE].gray, matched[MIDDLE], rest)
    truth = drawn[MIDDLE][1]
    empty = draw(street, poses[MIDDLE], LENS, fine=1)[1]
    return found, sure, 1 / truth, truth < empty - 1e-6, matched[MIDDLE]


@pytest.mark.parametrize(
    ("box", "ratio"),
    [
        (Box(13.0, 0.3, SPEED), 0.0),
        (Box(12.0, -1.0, 0.6 * SPEED), 0.4),
        (Box(15.0, 2.6, -SPEED), 2.0),
    ],
    ids=["as fast ahead", "slower ahead", "oncoming"],
)
def test_what_moves_stands_on_the_road_in_one_piece(box, ratio):
    found, sure, truth, on_it, matched = _seen([box])
    near = np.median(truth[on_it])
    # Taken as if it stood still, it is elsewhere by the ratio of the speeds.
    assert abs(np.median(matched[on_it]) / near - ratio) < 0.25
    error = np.abs(found[on_it] / truth[on_it] - 1)
    assert np.median(error) < 0.08
    assert (error < 0.15).mean() > 0.85
    assert (sure[on_it] == MOVING_CONFIDENCE).mean() > 0.85


def test_what_stands_is_not_taken_for_what_moves():
    boxes = [
        Box(11.0, -2.8),
        Box(14.0, 3.0),
        Box(9.0, 2.4, size=(0.2, 0.2, 3.0)),
        Box(22.0, 0.5, size=(4.2, 2.5, 3.0)),
    ]
    _, sure, _, _, _ = _seen(boxes, (*STREET, wall(60.0)))
    assert not (sure == MOVING_CONFIDENCE).any()


def test_a_field_lower_than_the_road_is_not_taken_for_what_moves():
    field = ((0, -4.0, -1.6), (0, 0, 1), (1, 0, 0), (0, 1, 0), (-900, 900), (-900, 0), 7)
    road = (*GROUND[:5], (-4.0, 900), GROUND[6])
    found, sure, truth, _, _ = _seen([], (road, field, STREET[1]))
    assert (sure == MOVING_CONFIDENCE).mean() < 0.002
    lower = np.zeros(truth.shape, dtype=bool)
    lower[80:110, 150:190] = True
    assert np.median(np.abs(found[lower] / truth[lower] - 1)) < 0.08


def test_confidence_says_that_nothing_moves_at_the_focus_of_expansion():
    found, sure, truth, _, _ = _seen([], (*STREET, wall(25.0)))
    u, v = LENS.project(MOUNT[:3, :3].T @ (1.0, 0.0, 0.0))
    y, x = np.mgrid[0:120, 0:200]
    away = np.hypot(x - u, y - v)
    assert np.median(sure[away < 3]) < 0.4 * np.median(sure[(away > 25) & (away < 50)])
    assert np.abs(found - truth)[away < 3].max() < 0.02  # as what is around


def test_recorded_boxes_are_where_their_nearest_sides_are_seen(tmp_path):
    box = Box(12.0, 1.5, 6.0)
    stands = Box(20.0, -2.0)
    t_ns = np.arange(4) * 100_000_000
    rows = [(k / 10, n, b) for k in range(4) for n, b in enumerate((box, stands))]
    with TraceWriter(
        tmp_path / "drive", name="drive", licence="MIT", source="a test", vehicle=Vehicle()
    ) as writer:
        x, zero, one = 0.9 * np.arange(4), np.zeros(4), np.ones(4)
        attitude = np.stack([zero, zero, zero, one], axis=1)
        writer.write_ego(t_ns, np.stack([x, zero, zero], axis=1), attitude, 9.0 * one, zero)
        writer.write_tracks(
            [round(t * 1e9) for t, _, _ in rows],
            [n for _, n, _ in rows],
            ["car"] * len(rows),
            [(b.x + b.vx * t, b.y, 0, 0, 0, 0, 1) for t, _, b in rows],
            [b.size for _, _, b in rows],
        )
    with Trace.open(tmp_path / "drive") as trace:
        drawn = MovingBoxes(trace, MOUNT, LENS).inverse_depth(0.15)
    assert len(drawn) == 1
    truth = draw(box.faces(0.15), planar_pose(1.35, 0, 0) @ MOUNT, LENS, fine=1)[1]
    np.testing.assert_array_equal(drawn[0] > 0, np.isfinite(truth))
    seen = drawn[0] > 0
    assert seen.sum() > 100
    np.testing.assert_allclose(drawn[0][seen], 1 / truth[seen], rtol=1e-3)


def test_a_lidar_that_measures_a_moving_car_does_not_hide_that_it_moves(tmp_path):
    box = Box(12.0, -1.0, 0.6 * SPEED)
    write_rig(tmp_path / "rig", lambda t: scene([box], t), FRONT, frames=5, lidar="compensated")
    marks = {}
    for geometry in ("multiview", "multiview+lidar"):
        folder = bake(tmp_path / "rig", "front", geometry=geometry)
        marks[geometry] = (np.load(folder / INVERSE_DEPTH)[MIDDLE] & 1).astype(bool)
    lens, mount = FRONT["front"]
    pose, t = vehicle_at(MIDDLE / 10) @ mount, MIDDLE / 10
    on_it = draw(scene([box], t), pose, lens)[1] < draw(STREET, pose, lens)[1] - 1e-6
    for mark in marks.values():
        assert mark[on_it].mean() > 0.85
        assert mark[~on_it].mean() < 0.05


def test_an_outline_without_room_to_grow_is_none():
    inner, everything = np.zeros((20, 30), dtype=bool), np.ones((20, 30), dtype=bool)
    inner[8:12, 10:20] = True
    assert not grown(np.full((20, 30), 90, np.uint8), inner, everything).any()
