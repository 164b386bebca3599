"""What cannot be is refused when it is given, in one line, and never when something is drawn."""

import math

import gymnasium
import numpy as np
import pytest
from conftest import write_straight

import vista_sim
from vista_sim.arguments import check_number
from vista_sim.dynamics.actuation import Controls
from vista_sim.errors import PolicyNotFiniteError, TraceError, VistaError, WorldError
from vista_sim.policies import Action
from vista_sim.sensors.delivery import FrameDelivery
from vista_sim.tasks.lane_following import Endings, LaneFollowing, Rewards
from vista_sim.tasks.recovery import RecoveryRule
from vista_sim.tasks.starts import Starts

pytestmark = pytest.mark.usefixtures("_unwarned")


def made(road_trace, **settings):
    return gymnasium.make("VistaSim/LaneFollowing-v0", **({"traces": [road_trace]} | settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"dt": 0.0},
        {"dt": math.nan},
        {"dt": None},
        {"dt": "0.1"},
        {"size": (0, 5)},
        {"size": (66.5, 200)},
        {"size": (10**6, 10)},
        {"size": None},
        {"fov": 4.0},
        {"fov": math.nan},
        {"fov": "wide"},
        {"mount": np.full((4, 4), np.nan)},
        {"mount": "front"},
        {"lens": "fisheye"},
        {"curvature_limit": None},
        {"curvature_limit": math.inf},
        {"perturb_lateral": None},
        {"perturb_lateral": 2.2},  # beyond max_lateral, 2.0 m
        {"perturb_lateral": 0.6, "endings": Endings(max_lateral=0.5)},
        {"perturb_lateral": 3.5, "endings": Endings(max_lateral="road")},  # 3 m to its left
        {"perturb_heading": 0.35},  # beyond max_heading, 0.314 rad
        {"section": 5},
        {"section": (9.0, 3.0)},
        {"section": (math.nan, 3.0)},
        {"recorded_camera": "rear"},
        {"recorded_camera": []},
        {"traces": None},
        {"traces": [None]},
        {"traces": []},
        {"endings": "soon"},
        {"rewards": {"survival": 1.0}},
        {"rewards": {"survive": "much"}},
        {"rewards": 3},
        {"endings": {"max_lateral": "far"}},
        {"endings": {"max_width": 2.0}},
        {"task": "lane-keeping"},
        {"task": 3},
        {"task": LaneFollowing},
        {"task": LaneFollowing(), "rewards": Rewards()},
        {"task": "stop-at-end", "control_speed": False},
        {"task": "stop-at-end", "endings": {"within": -1.0}},
        {"task": "stop-at-end", "rewards": Rewards()},
        {"randomization": {"noise": 1.0}},
        {"control_speed": "no"},
        {"world_options": "fast"},
        {"world_options": {"dt": 0.2}},
        {"world_options": {"cache_bytes": -1}},
        {"world_options": {"cameras_kept": 0}},
        {"world_options": {"min_speed": 500.0}},
        {"world_options": {"min_speed": None}},
        {"world_options": {"backend": "cuda"}},
        {"world_options": {"exclude_labels": "rain"}},
        {"world_options": {"vehicle": {"wheelbase": None}}},
        {"world_options": {"vehicle": {"wheelbase": -1.0}}},
    ],
    ids=str,
)
def test_an_environment_is_not_made_with_what_cannot_be(road_trace, settings):
    with pytest.raises(VistaError) as caught:
        made(road_trace, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{"num_envs": None}, {"workers": -1}, {"copy": None}, {"max_episode_steps": 0}],
    ids=str,
)
def test_nor_is_a_vector_environment(road_trace, settings):
    options = {"num_envs": 2, "traces": [road_trace], "observe": "state"} | settings
    with pytest.raises(WorldError):
        gymnasium.make_vec("VistaSim/LaneFollowing-v0", **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Endings(max_lateral=math.nan),
        lambda: Endings(time_limit="5"),
        lambda: Rewards(survive=None),
        lambda: Starts(lateral=math.nan),
        lambda: RecoveryRule(within_lateral=math.nan),
        lambda: RecoveryRule(held=math.nan),
        lambda: LaneFollowing(rewards=3),
        lambda: Controls(delay=1e9),  # a queue of 1e10 actions
        lambda: Controls(speed_limit=math.nan),
        lambda: FrameDelivery(math.nan, 0.0, np.random.default_rng()),
        lambda: FrameDelivery(0.0, None, np.random.default_rng()),
        lambda: check_number("n", True),
        lambda: check_number("n", np.array(1.0)),
    ],
)
def test_nan_none_and_texts_are_no_numbers(make):
    with pytest.raises(WorldError):
        make()


def test_numbers_of_numpy_and_any_size_are_numbers():
    assert check_number("n", np.float32(0.5)) == 0.5
    assert check_number("n", np.int64(3)) == 3.0
    assert check_number("n", 10**400) == math.inf


def test_every_start_that_may_be_drawn_is_possible(road_trace):
    """At the limits, rounding and bends put one start in several beyond them."""
    limits = Endings(max_lateral=2.0, max_heading=0.2)
    env = made(
        road_trace, observe="state", endings=limits, perturb_lateral=2.0, perturb_heading=0.2
    )
    for seed in range(200):
        env.reset(seed=seed)
    road = made(
        road_trace, observe="state", endings=Endings(max_lateral="road"), perturb_lateral=3.0
    )
    drawn = [road.reset(seed=seed)[1]["lateral"] for seed in range(100)]
    assert max(drawn) > 2.5  # 3 m of road to the left,
    assert min(drawn) >= -1.5  # and 1.5 m to the right


def test_a_trace_without_a_camera_is_refused_where_a_camera_is_asked_for(tmp_path):
    write_straight(tmp_path / "blind", lambda t: 8.0)
    with pytest.raises(WorldError, match="no camera"):
        made(tmp_path / "blind")
    made(tmp_path / "blind", observe="state").reset(seed=1)


@pytest.mark.parametrize(
    "value",
    [None, True, math.nan, -math.inf, 10**400, "0.1", [], np.array(0.1), np.array([0.1])],
    ids=str,
)
def test_an_action_is_one_finite_number(value):
    with pytest.raises(PolicyNotFiniteError, match="curvature is"):
        Action(value)
    if value is not None:  # the speed of the recording
        with pytest.raises(PolicyNotFiniteError, match="acceleration is"):
            Action(0.0, value)


def test_an_action_keeps_plain_floats():
    action = Action(np.float32(0.5), np.int64(1))
    assert (type(action.curvature), type(action.acceleration)) == (float, float)


class Silent:
    """A policy that says nothing."""

    camera = None

    def reset(self):
        pass

    def act(self, observation, car=None):
        return Action(None)


def test_a_policy_that_says_nothing_broke_and_did_not_crash(road_trace):
    report = vista_sim.evaluate(Silent(), [road_trace], recovery=False).to_json()
    (told,) = report["traces"]
    assert (told["policy_failures"], told["crashes"], told["distance_m"]) == (1, 0, 0)


def test_a_camera_refuses_what_is_no_number(road_trace):
    camera = vista_sim.Camera(road_trace, "front", size=(20, 40))
    for arguments in ((math.nan,), (1.0, (math.nan, 0.0, 0.0)), (None,), (1.0, None)):
        with pytest.raises(ValueError, match="must be finite"):
            camera.render(*arguments)
    for options in ({"size": (10.5, 20)}, {"cache_bytes": -5}, {"cache_bytes": None}):
        with pytest.raises(ValueError, match="must be"):
            vista_sim.Camera(road_trace, "front", **options)
    with pytest.raises(TraceError, match="is no path"):
        vista_sim.Camera(3, "front")
