"""Open loop: asked where the human was, beside what the human did."""

import math

import numpy as np
import pytest
from conftest import ROAD_PIECES, ROAD_SPEED, road_pose

from vista_sim.errors import PolicyError
from vista_sim.evaluation.open_loop import open_loop
from vista_sim.policies import Action, CameraSpec
from vista_sim.traces.calibration import Vehicle


class Asked:
    """Writes down where it is asked, and gives the same answer always."""

    camera = None

    def __init__(self, curvature=0.0):
        self.curvature, self.poses, self.resets = curvature, [], 0

    def reset(self):
        self.resets += 1

    def act(self, observation, car=None):
        self.poses.append((car.x, car.y, car.yaw, car.speed))
        return Action(self.curvature)


def road_curvature(s):
    for length, curvature in ROAD_PIECES:
        if s <= length:
            return curvature
        s -= length
    return 0.0


def test_the_policy_is_asked_on_the_recorded_poses(road_trace):
    policy = Asked()
    found = open_loop(policy, road_trace, dt=0.5)
    t = found.answers["t"]
    assert t == pytest.approx(np.arange(46) * 0.5)
    expected = np.array([road_pose(ROAD_SPEED * v) for v in t])
    poses = np.array(policy.poses)
    assert poses[:, :2] == pytest.approx(expected[:, :2], abs=0.02)
    assert poses[:, 2] == pytest.approx(
        (expected[:, 2] + math.pi) % (2 * math.pi) - math.pi, abs=2e-3
    )
    assert poses[:, 3] == pytest.approx(ROAD_SPEED)
    assert policy.resets == 1


def test_one_that_never_steers_is_off_by_the_roads_own_bends(road_trace):
    found = open_loop(Asked(), road_trace, dt=0.1)
    own = np.array([abs(road_curvature(ROAD_SPEED * v)) for v in found.answers["t"]])
    assert found.curvature_mae == pytest.approx(own.mean(), rel=0.03)
    angles = np.arctan(Vehicle().wheelbase * own)
    assert found.tire_angle_mae == pytest.approx(angles.mean(), rel=0.03)
    # Halfway round the left bend of 40 m radius, and the right one of 45 m.
    at = [found.answers["curvature"][round(s / ROAD_SPEED / 0.1)] for s in (60.0, 132.0)]
    assert at == pytest.approx([1 / 40, -1 / 45], rel=0.02)


def test_a_constant_offset_is_its_own_error_within_the_vehicles_limits(road_trace):
    straight = (0.0, 3.0)  # s: 24 m of the first straight
    found = open_loop(Asked(0.01), road_trace, section=straight)
    assert found.curvature_mae == pytest.approx(0.01, abs=2e-4)
    assert found.to_json()["moments"] == 31
    beyond = open_loop(Asked(50.0), road_trace, section=straight)
    limit = Vehicle().max_tire_angle
    assert beyond.answers["action_tire_angle"] == pytest.approx(limit)


def test_a_policy_with_a_camera_sees_what_was_recorded(road_trace):
    class Seeing(Asked):
        camera = CameraSpec((40, 100), fov=1.0)

        def act(self, observation, car=None):
            assert observation["camera"].shape == (40, 100, 3)
            return super().act(observation, car)

    calls = []
    found = open_loop(
        Seeing(), [road_trace, road_trace], section=(0.0, 1.0), progress=lambda *c: calls.append(c)
    )
    assert found.answers["trace"].tolist() == [0] * 11 + [1] * 11
    assert (found.answers["validity"] > 0.95).all()
    assert calls[-1] == (22, 22)


def test_what_is_no_action_is_refused(road_trace):
    class Wrong(Asked):
        def act(self, observation, car=None):
            return 0.1

    with pytest.raises(PolicyError, match="must return an Action"):
        open_loop(Wrong(), road_trace)
