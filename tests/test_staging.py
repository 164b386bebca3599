"""Staged cases: what a car in them meets, against the parts by themselves."""

import json
import logging
import math

import cv2
import numpy as np
import pytest

from vista_sim.evaluation.recovery import try_recovery
from vista_sim.policies import Action, CameraSpec
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.runs.recorder import Recorder
from vista_sim.runs.writer import RunWriter
from vista_sim.scenarios import Stager, load_suite, stage
from vista_sim.scenarios.images import night
from vista_sim.scenarios.places import Place, RecoveryTest
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.randomization import Drawn
from vista_sim.traces.trace import Trace
from vista_sim.transforms import planar_pose, pose_from_euler
from vista_sim.world import World

CAMERA = CameraSpec((48, 96))
AHEAD = Action(0.0)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


@pytest.fixture
def cases(tmp_path, road_trace):
    def cases(text, name="one"):
        path = tmp_path / f"{name}.toml"
        head = f'format = "vista-scenario/1"\nname = "{name}"\n'
        path.write_text(f"{head}traces = {json.dumps(str(road_trace))}\n{text}")
        return load_suite(path).cases()

    return cases


def drive(case, camera=CAMERA, steps=12, stager=None):
    """Bytes of all that is seen, and the states, under actions that depend on nothing."""
    staged = stage(case, camera) if stager is None else stager.stage(case)
    seen = []
    for i in range(steps):
        if staged.done:
            break
        staged.step(Action(0.01 * math.sin(i)))
        seen.append(staged.observations["camera"].tobytes())
        seen.append(staged.car.state[0, :33].tobytes())
    return seen


FAULTS = (
    "seeds = 2\n[image]\nnoise = 10\nexposure = -0.5\nblur = 0.7\nnight = 0.3\n"
    "[sensors]\ndropped_frames = 0.4\nlate_frames = 0.15\nmount_yaw = 0.02\n"
    "[vehicle]\nactuation_delay = 0.13\n"
)


def test_the_same_case_gives_the_same_bytes_whatever_was_staged_before(cases):
    first, second = cases(FAULTS)
    alone = drive(second)
    stager = Stager(CAMERA)
    before = drive(first, stager=stager)
    assert drive(second, stager=stager) == alone
    assert before != alone  # another seed: other noise, other images lost
    assert drive(second) == alone


def test_the_start_is_the_cases(cases):
    (case,) = cases('[start]\ns = 30.0\nlateral = -0.4\nheading = "3 deg"\n')
    car = stage(case, None).car
    assert (car.s, car.lateral, car.heading_error) == pytest.approx((30.0, -0.4, math.pi / 60))
    assert "camera" not in car.observations


def test_images_are_the_cameras_changed_as_the_scenario_says(cases, road_trace):
    (plain,) = cases("")
    (dark,) = cases("[image]\nexposure = -1.0\nred = 0.5\nblur = 1.2\n", "dark")
    image = stage(plain, CAMERA).observations["camera"]
    seen = stage(dark, CAMERA).observations["camera"]
    # Half the light, and the root of two times as much red; stored values go as light ** (1/2.2).
    blurred = cv2.GaussianBlur(image, (9, 9), 1.2).astype(float)
    gains = np.array([2**-0.5, 0.5, 0.5]) ** (1 / 2.2)
    np.testing.assert_allclose(seen, blurred * gains, atol=0.51)


def test_a_camera_that_is_mounted_wrongly_sees_what_one_mounted_there_sees(cases, road_trace):
    (case,) = cases("[start]\ns = 20\n[sensors]\nmount_y = 0.2\nmount_yaw = 0.03\n")
    staged = stage(case, CAMERA)
    mount = np.array(Trace.open(road_trace).cameras["front"].calibration.T_vehicle_camera)
    mount[:3, :3] = pose_from_euler(yaw=0.03)[:3, :3] @ mount[:3, :3]
    mount[1, 3] += 0.2
    camera = Camera(Trace.open(road_trace), "front", size=(48, 96), mount=mount)
    expected, _ = camera.render(staged.car.scene_time)
    difference = np.abs(staged.observations["camera"].astype(int) - expected)
    assert np.mean(difference) < 0.5
    (plain,) = cases("[start]\ns = 20\n", "plain")
    straight = stage(plain, CAMERA).observations["camera"].astype(int)
    assert np.mean(np.abs(straight - expected)) > 5.0


def test_late_images_are_those_of_the_steps_before(cases):
    (late,) = cases("[sensors]\nlate_frames = 0.2\n")
    (plain,) = cases("", "plain")
    slow, prompt = stage(late, CAMERA), stage(plain, CAMERA)
    seen, taken = [], [prompt.observations["camera"]]
    for _ in range(5):
        slow.step(AHEAD)
        prompt.step(AHEAD)
        seen.append(slow.observations["camera"])
        taken.append(prompt.observations["camera"])
    for one, other in zip(seen, [taken[0], *taken[:4]], strict=True):
        np.testing.assert_array_equal(one, other)
    assert slow.observations["speed"] == prompt.observations["speed"]


def test_limits_of_vehicle_and_controls_reach_the_car(cases):
    (case,) = cases(
        "[vehicle]\nsteering_rate_limit = 0.2\ncurvature_limit = 0.02\nmax_deceleration = 1.5\n"
        'actuation_delay = 0.1\n[speed]\nmode = "free"\nlimit = 9.0\n'
    )
    staged = stage(case, None)
    car = staged.car
    staged.step(Action(0.1, -8.0))
    assert (car.tire_angle, car.speed) == (0.0, pytest.approx(8.0))
    staged.step(Action(0.1, 3.0))
    assert (car.tire_angle, car.speed) == pytest.approx((0.02, 7.85))
    for _ in range(12):
        staged.step(Action(0.1 if car.t < 0.5 else 0.0, 3.0))
    assert car.speed == pytest.approx(9.0)
    assert car.max_curvature == pytest.approx(0.02)


def test_a_recorded_speed_does_not_heed_the_policy(cases):
    (case,) = cases("[speed]\nfactor = 0.5\n")
    staged = stage(case, None)
    for _ in range(10):
        staged.step(Action(0.0, 3.0))
    assert staged.car.speed == pytest.approx(4.0)
    assert staged.car.s == pytest.approx(4.0, abs=0.01)
    assert staged.car.action == Action(0.0)


def test_after_a_crash_the_car_is_set_back_two_seconds_further_on(cases):
    """Straight on at 8 m/s, the road bends away to the left (radius 40 m) at s = 40 m."""
    (case,) = cases('mode = "restart"\n[start]\ns = 10\n[section]\ndistance = [0, 109]\n')
    staged = stage(case, None)
    starts = [staged.car.s]
    while True:
        while not staged.done:
            staged.step(AHEAD)
        assert staged.ending in ("off_road", "heading", "end_of_trace")
        end = staged.car.scene_time
        crashed = staged.ending != "end_of_trace"
        if not staged.set_back():
            break
        assert crashed
        assert staged.car.scene_time == pytest.approx(end + 2.0, abs=1e-3)
        assert (staged.car.lateral, staged.car.heading_error) == pytest.approx((0, 0), abs=1e-6)
        starts.append(staged.car.s)
    assert staged.episodes == len(starts) == 3
    # 2 m off where 40 m / cos(angle) = 42 m, 12.4 m on; noticed after at most a step of 0.8 m.
    assert 40 + 12.39 + 16.0 <= starts[1] <= 40 + 12.39 + 16.0 + 0.9


def test_an_episode_is_not_set_back(cases):
    (case,) = cases("[start]\ns = 35\n")
    staged = stage(case, None)
    while not staged.done:
        staged.step(AHEAD)
    assert staged.ending in ("off_road", "heading")
    assert not staged.set_back()
    assert staged.recovered is None


def test_an_episode_ends_with_its_time(cases):
    (case,) = cases("time_limit = 0.7\ndt = 0.05\n")
    staged = stage(case, None)
    while not staged.done:
        staged.step(AHEAD)
    assert (staged.ending, staged.car.t, staged.car.steps) == ("time_limit", pytest.approx(0.7), 14)


@pytest.mark.parametrize("driver", [ReferenceDriver, None])
def test_recovery_is_what_the_recovery_test_finds(cases, road_trace, driver):
    test = RecoveryTest(laterals=(-1.2, 0.0, 0.8), headings=(-0.1, 0.05), starts_per_kind=1)
    found = cases(
        'mode = "recovery"\n[start]\ns = { values = [15, 50] }\n'
        "lateral = { values = [-1.2, 0.0, 0.8] }\nheading = { values = [-0.1, 0.05] }\n"
    )
    policy = ReferenceDriver()
    if driver is None:
        policy.act = lambda observation, car=None: Action(0.02)  # badly
    world = World(road_trace)
    places = (Place("straight", 0, 15.0), Place("left", 0, 50.0))
    with RunWriter(None, {}) as writer:
        try_recovery(
            policy, world.spawn_agent(), policy, world.spawn_agent(), Recorder(writer), test, places
        )
        table = writer.episodes.table().to_pylist()
    expected = [(r["ending"], r["recovered"], r["steps"]) for r in table if r["driver"] == "policy"]
    came = []
    for case in found:
        staged = stage(case, None)
        while not staged.done:
            staged.step(policy.act(staged.observations, staged.car))
        came.append((staged.ending, staged.recovered, staged.car.steps))
        assert (staged.recovery_time is None) == (not staged.recovered)
    assert came == expected
    assert len({ending for ending, _, _ in came}) > (1 if driver is None else 0)


def test_night_is_dark_and_bluish_and_day_stays_day():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert night(image, 0.0) is image
    gray = np.full((2, 2, 3), 200, dtype=np.uint8)
    seen = night(gray, 1.0)[0, 0].astype(float)
    # Gray has the white point's chromaticity: an eighth of the light, tinted 1.05 : 0.97 : 1.27.
    light = (200 / 255) ** 2.2 / 8 * np.array([1.05, 0.97, 1.27]) / np.mean([1.05, 0.97, 1.27])
    np.testing.assert_allclose(seen, 255 * light ** (1 / 2.2), atol=0.6)
    colours = night(np.array([[[250, 20, 20], [20, 20, 250]]], dtype=np.uint8), 1.0)[0]
    spread = np.ptp(colours.astype(int), axis=1)
    assert spread.max() < 30  # of 230 by day
    assert colours[1].mean() > colours[0].mean()  # Purkinje: red is darker than blue at night


def test_a_case_without_faults_is_not_touched(cases):
    (case,) = cases("")
    staged = stage(case, CAMERA)
    assert staged.world.randomization is None
    assert staged.car.faults.dropped == staged.car.faults.late == 0
    image, _ = staged.car.render(CAMERA)
    np.testing.assert_array_equal(staged.observations["camera"], image)


def test_fixed_changes_are_drawn_alike_for_every_episode(cases):
    (case,) = cases("[image]\nnoise = 3\nblur = 0.5\n[sensors]\nmount_x = 0.1\n")
    drawn = stage(case, CAMERA).world.randomization.draw(np.random.default_rng(0))
    assert isinstance(drawn, Drawn)
    assert (drawn.noise, drawn.blur, drawn.shift) == (3.0, 0.5, (0.1, 0.0, 0.0))
    moved = drawn.displacement(np.eye(4))
    np.testing.assert_allclose(moved, planar_pose(0.1, 0.0, 0.0), atol=1e-12)
