"""What every sensor must be: each kind that is known is put through this.

A new kind is tested by a line of `EXAMPLES`.
"""

import copy
import json
import pickle

import gymnasium
import numpy as np
import pytest
from conftest import write_road
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from range_sensor import RangeSpec
from same_bytes import assert_same

from vista_sim import CameraSpec, World
from vista_sim.dynamics.action import Action
from vista_sim.envs.lane_following import lane_following_env, lane_following_vector_env
from vista_sim.errors import PolicyError, WorldError
from vista_sim.sensors.faults import Faults
from vista_sim.sensors.randomization import Randomization
from vista_sim.sensors.registry import (
    known_kinds,
    make_sensor,
    read_spec,
    spec_class,
    spec_to_json,
)
from vista_sim.sensors.rig import Rig
from vista_sim.sensors.sensor import on_host
from vista_sim.sensors.spec import StateSpec
from vista_sim.sensors.view import SceneView
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import camera_mount

FISHEYE = Lens("fisheye", 30.0, 30.0, 23.5, 11.5, (24, 48), (0.02, -0.01, 0.0, 0.0))
BACK = camera_mount(0.0, 0.0, 1.2, yaw=0.6)
#: Of every kind, specs that differ.
EXAMPLES = {
    "camera": (
        CameraSpec((24, 48), used=(4, 20, 0, 48)),
        CameraSpec((20, 30), fov=1.0, mount=BACK),
        CameraSpec((24, 48), lens=FISHEYE),
    ),
    "state": (StateSpec(),),
    "range": (RangeSpec(rays=8), RangeSpec(rays=5, fov=0.5, keep=0.8)),
}
SPECS = [spec for specs in EXAMPLES.values() for spec in specs]
STEPS, DT = 5, 0.1
CARS = 4
ROWS = 7  # of the sensors, which are more than the cars
#: Where the cars are among them.
SEATS = np.array([5, 0, 3, 6])

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("_unwarned")]


@pytest.fixture(params=SPECS, ids=[f"{spec.kind}-{i}" for i, spec in enumerate(SPECS)])
def spec(request):
    return request.param


@pytest.fixture(scope="module")
def worlds(road_trace):
    """A world by the backend of its cameras, with cars that have been driven: see `Drive`."""
    made = {}
    return lambda backend="numba": made.setdefault(backend, Drive(road_trace, backend))


class Drive:
    """Some cars of one trace, and where they were at each step."""

    def __init__(self, trace, backend):
        self.world = World([trace], dt=DT, backend=backend)
        cars = [self.world.spawn_scene().spawn_agent() for _ in range(CARS)]
        for i, car in enumerate(cars):
            car.reset(s=20.0 + 25.0 * i, lateral=0.5 * i - 0.7, heading=0.02 * i)
        self.rows = np.array([car.row for car in cars])
        self.tables = [self.world.table.copy()]
        for _ in range(STEPS - 1):
            for i, car in enumerate(cars):
                car.step(Action(0.02 * (i - 1.5)))
            self.tables.append(self.world.table.copy())

    def view(self, step, cars):
        world = self.world
        return SceneView(self.tables[step], self.rows[cars], world.cameras, 0, world.traces[0])

    def read(self, sensor, cars=range(CARS), seats=SEATS, resets=(), seed=0, device=None):
        """What is read in each step: (steps, cars, ...), and what was in the arrays beside it.

        Args:
            sensor: a sensor, or a spec of one.
            cars: in the order in which they are read.
            seats: rows of the sensor, of all cars.
            resets: (step, car) at which episodes begin, beside the first step.
        """
        if not hasattr(sensor, "read"):
            sensor = make_sensor(sensor, ROWS)
        cars, seats = np.array(cars), np.asarray(seats)
        out = sensor.empty(ROWS, device)
        found = []
        for step in range(STEPS):
            begun = cars if step == 0 else np.array([car for at, car in resets if at == step], int)
            if len(begun):
                rngs = [np.random.default_rng((seed, step, car)) for car in begun.tolist()]
                sensor.reset(self.view(step, begun), seats[begun], rngs)
            sensor.read(self.view(step, cars), seats[cars], out)
            found.append(on_host(out.value)[seats[cars]].copy())
        return np.array(found)


def test_every_kind_that_comes_with_the_simulator_has_an_example():
    """So has the one that is made in these tests alone; others are their packages' own to test."""
    assert set(EXAMPLES) <= set(known_kinds())
    for kind in known_kinds():
        own = spec_class(kind).__module__.startswith("vista_sim.")
        assert kind in EXAMPLES or not own, f"give an example of {kind!r} in EXAMPLES"
    for kind, specs in EXAMPLES.items():
        assert {type(spec) for spec in specs} == {spec_class(kind)}


def test_a_reading_is_in_its_space(spec, worlds):
    space = spec.space()
    assert isinstance(space, spaces.Box)
    found = worlds().read(spec)
    assert (found.shape, found.dtype) == ((STEPS, CARS, *space.shape), space.dtype)
    for reading in found.reshape(-1, *space.shape):
        assert reading in space
    assert (found[:, 0] != found[:, 1]).any()  # of cars at different places


def test_a_spec_is_known_by_what_it_holds(spec):
    written = json.loads(json.dumps(spec_to_json(spec)))
    again = [read_spec(written, "it", PolicyError), copy.deepcopy(spec)]
    again.append(pickle.loads(pickle.dumps(spec)))
    for other in again:
        assert other == spec
        assert hash(other) == hash(spec)
        assert other.space() == spec.space()
        assert other.cameras == spec.cameras
    assert SPECS.count(spec) == 1
    assert len({*SPECS, *again}) == len(SPECS)
    with pytest.raises(PolicyError, match=r"it is not usable .*no such field") as caught:
        read_spec({**written, "no such field": 1}, "it", PolicyError)
    assert "\n" not in str(caught.value)
    with pytest.raises(AttributeError):  # frozen
        spec.kind_of_mine = 3


def test_each_row_is_read_as_if_it_were_alone(spec, worlds):
    drive = worlds()
    together = drive.read(spec)
    for car in range(CARS):
        np.testing.assert_array_equal(drive.read(spec, [car])[:, 0], together[:, car])


def test_the_order_of_rows_and_their_places_do_not_matter(spec, worlds):
    drive = worlds()
    plain, order = drive.read(spec), [2, 0, 3, 1]
    np.testing.assert_array_equal(drive.read(spec, order), plain[:, order])
    np.testing.assert_array_equal(drive.read(spec, seats=np.arange(CARS)), plain)


def test_it_remembers_by_row_and_forgets_at_a_reset(spec, worlds):
    drive, at, car = worlds(), 2, 1
    plain = drive.read(spec)
    found = drive.read(spec, resets=[(at, car)])
    others = [other for other in range(CARS) if other != car]
    np.testing.assert_array_equal(found[:, others], plain[:, others])
    np.testing.assert_array_equal(found[:at, car], plain[:at, car])
    sensor, seats = make_sensor(spec, ROWS), SEATS[[car]]
    out = sensor.empty(ROWS)
    sensor.reset(drive.view(at, np.array([car])), seats, [np.random.default_rng((0, at, car))])
    for step in range(at, STEPS):
        sensor.read(drive.view(step, np.array([car])), seats, out)
        np.testing.assert_array_equal(out.value[seats[0]], found[step, car])


def test_a_copy_remembers_what_the_original_does(spec, worlds):
    drive, cars = worlds(), np.arange(CARS)
    sensor = make_sensor(spec, ROWS)
    out, others = sensor.empty(ROWS), sensor.empty(ROWS)
    rngs = [np.random.default_rng(i) for i in range(CARS)]
    sensor.reset(drive.view(0, cars), SEATS, rngs)
    sensor.read(drive.view(0, cars), SEATS, out)
    for copied in (copy.deepcopy(sensor), pickle.loads(pickle.dumps(sensor))):
        copied.read(drive.view(1, cars), SEATS, others)
    sensor.read(drive.view(1, cars), SEATS, out)
    np.testing.assert_array_equal(others.value[SEATS], out.value[SEATS])


def test_it_writes_into_the_rows_that_it_reads_and_no_others(spec, worlds):
    drive, cars = worlds(), np.array([3, 1])
    sensor = make_sensor(spec, ROWS)
    out = sensor.empty(ROWS)
    parts = [part for part in out if part is not None]
    beside = np.setdiff1d(np.arange(ROWS), SEATS[cars])
    sensor.reset(drive.view(0, cars), SEATS[cars], [np.random.default_rng(i) for i in cars])
    for pattern in (0, 1):
        for part in parts:
            part[:] = pattern
        sensor.read(drive.view(0, cars), SEATS[cars], out)
        for part in parts:
            assert (part[beside] == pattern).all()
        assert out.value.flags.c_contiguous


def test_views_leave_the_state_of_the_cars_alone(spec, worlds):
    drive = worlds()
    before = [table.tobytes() for table in drive.tables]
    drive.read(spec)
    assert [table.tobytes() for table in drive.tables] == before


class Faulty:
    """A rig's only sensor, read as a sensor is."""

    def __init__(self, spec, faults):
        self.rig = Rig(ROWS)
        self.rig.add("it", spec)
        for row, one in faults.items():
            self.rig.fit(row, one)

    def empty(self, rows, device=None):
        return self.rig.empty(device)["it"]

    def reset(self, view, rows, rngs):
        self.rig.reset(view, rows, rngs)

    def read(self, view, rows, out):
        self.rig.read([(view, rows)], {"it": out})


def test_readings_come_late_where_they_are_late(spec, worlds):
    """By two steps, to the second car alone; none to those who are never faulty."""
    drive = worlds()
    plain = drive.read(spec)
    found = drive.read(Faulty(spec, {SEATS[1]: Faults(late=2 * DT)}))
    expected = plain.copy()
    if not spec.privileged:
        expected[:, 1] = plain[np.maximum(np.arange(STEPS) - 2, 0), 1]
    np.testing.assert_array_equal(found, expected)


def test_of_lost_readings_the_last_one_is_seen(spec, worlds):
    drive = worlds()
    plain = drive.read(spec)
    faults = {row: Faults(dropped=0.6, seed=(3, int(row))) for row in SEATS[:3]}
    found = drive.read(Faulty(spec, faults))
    np.testing.assert_array_equal(found[:, 3], plain[:, 3])
    if spec.privileged:
        np.testing.assert_array_equal(found, plain)
        return
    for car in range(3):
        lost = np.random.default_rng((3, int(SEATS[car]))).random(STEPS) < 0.6
        lost[0] = False  # there is none before it
        last = np.maximum.accumulate(np.where(lost, 0, np.arange(STEPS)))
        np.testing.assert_array_equal(found[:, car], plain[last, car])
    assert (found != plain).any()


RANDOM = Faults(Randomization(0.5, 0.1, 0.5, 4.0, (0.2, 0.05)))


def test_what_is_drawn_for_a_row_is_drawn_from_its_generator(spec, worlds):
    drive = worlds()
    plain = drive.read(spec)
    faults = dict.fromkeys(SEATS[1:], RANDOM)
    found = drive.read(Faulty(spec, faults))
    assert found.dtype == plain.dtype
    assert all(reading in spec.space() for step in found for reading in step)
    np.testing.assert_array_equal(found[:, 0], plain[:, 0])
    np.testing.assert_array_equal(found, drive.read(Faulty(spec, faults)))
    for car in (1, 2):
        alone = drive.read(Faulty(spec, faults), [car])
        np.testing.assert_array_equal(alone[:, 0], found[:, car])
    changed = (found[:, 1:] != plain[:, 1:]).any()
    other = drive.read(Faulty(spec, faults), seed=1)
    if spec.privileged:
        assert not changed
    elif spec.cameras:
        assert changed
        assert (other != found).any()


@pytest.fixture(scope="module")
def traces(road_trace, tmp_path_factory):
    other = tmp_path_factory.mktemp("traces") / "other"
    return [road_trace, write_road(other, fov=0.9, size=(40, 60), camera="dash", length=60.0)]


@pytest.mark.parametrize("randomization", [None, RANDOM.randomization])
def test_many_cars_read_what_each_would_alone(spec, traces, randomization):
    """Through resets; those of different traces are read by several threads."""
    settings = {
        "traces": traces,
        "sensors": {spec.kind: spec},
        "perturb_lateral": 1.0,
        "endings": {"time_limit": 4 * DT},
        "text_infos": False,
    }
    if spec.privileged and randomization is not None:
        with pytest.raises(WorldError, match="randomization"):
            lane_following_env(randomization=randomization, **settings)
        return
    settings["randomization"] = randomization
    ours = lane_following_vector_env(CARS, workers=2, **settings)
    theirs = SyncVectorEnv([lambda: lane_following_env(**settings)] * CARS)
    assert ours.single_observation_space[spec.kind] == spec.space()
    assert_same(ours.reset(seed=7), theirs.reset(seed=7))
    traces_seen, rng = set(), np.random.default_rng(1)
    for step in range(11):
        if step == 5:
            ours = copy.deepcopy(ours)
        actions = rng.uniform(-0.3, 0.3, ours.action_space.shape).astype(np.float32)
        told = ours.step(actions)
        assert_same(told, theirs.step(actions))
        traces_seen |= {*told[4]["trace"].tolist()}
    assert traces_seen == {0, 1}
    ours.close()
    theirs.close()


@pytest.mark.usefixtures("_own_threads")
def test_tensors_hold_what_arrays_do(spec, worlds):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    drive = worlds("torch")
    there = make_sensor(spec, ROWS).empty(ROWS, "cpu")
    for part, plain in zip(there, make_sensor(spec, ROWS).empty(ROWS), strict=True):
        assert (part is None) == (plain is None)
        if part is not None:
            assert tuple(part.shape) == plain.shape
            assert isinstance(part, torch.Tensor) or type(part) is type(plain)
    np.testing.assert_array_equal(drive.read(spec, device="cpu"), drive.read(spec))
    faults = {row: Faults(RANDOM.randomization, 0.3, DT) for row in SEATS}
    found = [drive.read(Faulty(spec, faults), device=device) for device in ("cpu", None)]
    np.testing.assert_array_equal(*found)


def test_it_is_observed_beside_others(spec, road_trace):
    sensors = {"camera": CameraSpec((8, 16)), spec.kind: spec, "other": RangeSpec(rays=4)}
    env = gymnasium.make("VistaSim/LaneFollowing-v0", traces=[road_trace], sensors=sensors)
    seen, _ = env.reset(seed=1)
    assert seen in env.observation_space
    alone = lane_following_env([road_trace], sensors={spec.kind: spec})
    np.testing.assert_array_equal(seen[spec.kind], alone.reset(seed=1)[0][spec.kind])
