"""What is filmed of a drive, against what the car saw and where it was."""

import av
import numpy as np
import pytest

from vista_sim import Action, CameraSpec, Trace, World
from vista_sim.errors import RunError
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.runs.filming import VIEWS, Filming
from vista_sim.runs.run import columns, read_run

SIZE = (40, 96)


class Looking:
    """Drives straight and looks at a column that moves with each step."""

    camera = CameraSpec(SIZE)

    def reset(self):
        self.steps = 0

    def act(self, observation, car=None):
        self.steps += 1
        return Action(0.0)

    def saliency(self):
        looked = np.zeros(SIZE, dtype=np.float32)
        looked[:, 8 * (self.steps - 1) : 8 * self.steps] = 1.0
        return looked


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.fixture(scope="module")
def filmed(road_trace, tmp_path_factory):
    out = tmp_path_factory.mktemp("filmed") / "run"
    evaluate(Looking(), road_trace, out, recovery=False, section=(0, 1))
    return read_run(out)


def frames_of(run, view):
    """(step, image) of each filmed step."""
    rows = [row for row in run.frames.to_pylist() if row["view"] == view]
    (file,) = {row["file"] for row in rows}
    images = decoded(run.video(file))
    assert len(images) == len(rows)
    return [(row["step"], images[row["frame"]]) for row in rows]


def test_every_step_is_filmed_in_every_view(filmed):
    steps = columns(filmed.steps)["step"].tolist()
    for view in VIEWS:
        shown = [step for step, _ in frames_of(filmed, view)]
        # What it looked at is known once it has acted: not after the last step.
        assert shown == (steps[:-1] if view == "saliency" else steps), view


def test_the_views_show_what_the_car_saw_and_what_was_recorded(filmed, road_trace):
    world = World(road_trace, section=(0, 1))
    car = world.spawn_agent()
    car.spawn_camera("camera", SIZE)
    car.reset(trace=0, s=world.sections[0][0].start_s, lateral=0.0, heading=0.0)
    camera, validity = (dict(frames_of(filmed, view)) for view in ("camera", "validity"))
    recorded = dict(frames_of(filmed, "recorded"))
    trace = Trace.open(road_trace)
    front = trace.cameras["front"]
    while not car.done:
        assert psnr(camera[car.steps], car.observations["camera"]) > 32
        assert np.mean((validity[car.steps][..., 0] > 127) == car.valid) > 0.99
        nearest = front.frame(int(np.argmin(np.abs(front.t - car.scene_time))))
        shown = recorded[car.steps]
        assert shown.shape[1] == 640
        coarse = nearest.reshape(nearest.shape[0], -1, 3).mean(axis=(0, 1))
        assert np.abs(shown.mean(axis=(0, 1)) - coarse).max() < 3
        car.step(Action(0.0))


def test_saliency_belongs_to_the_step_that_it_was_seen_in(filmed):
    for step, image in frames_of(filmed, "saliency"):
        brightest = image[..., 0].mean(axis=0)
        assert 8 * step <= np.argmax(brightest) < 8 * (step + 1)


def test_fewer_frames_and_views_where_that_is_asked(road_trace, tmp_path):
    filming = Filming(views=("scene",), rate=5.0, width=128, max_frames=4)
    evaluate("expert", road_trace, tmp_path / "run", recovery=False, video=filming, section=(0, 2))
    run = read_run(tmp_path / "run")
    assert [(step, image.shape[1]) for step, image in frames_of(run, "scene")] == [
        (0, 128), (2, 128), (4, 128), (6, 128),
    ]  # fmt: skip
    assert set(run.frames.column("view").to_pylist()) == {"scene"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"views": ("scene", "sonar")}, "view is 'sonar'; views are film, scene"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"width": 4}, "width is 4 px"),
        ({"max_frames": 0}, "max_frames is 0"),
    ],
)
def test_what_cannot_be_filmed_is_refused(wrong, message):
    with pytest.raises(RunError, match=message):
        Filming(**wrong)


def test_the_roads_are_in_the_run(filmed, road_trace):
    trace = Trace.open(road_trace)
    roads = columns(filmed.roads)
    for i in range(0, len(roads["s"]), 17):
        pose = trace.pose(roads["t"][i])
        assert np.hypot(roads["x"][i] - pose[0, 3], roads["y"][i] - pose[1, 3]) < 0.1
        assert roads["z"][i] == pytest.approx(pose[2, 3], abs=1e-6)
        yaw = np.arctan2(pose[1, 0], pose[0, 0])
        assert np.angle(np.exp(1j * (roads["yaw"][i] - yaw))) == pytest.approx(0, abs=0.05)
        assert roads["speed"][i] == pytest.approx(trace.speed(roads["t"][i]), abs=1e-6)
        at = trace.road
        assert roads["left"][i] == pytest.approx(np.interp(roads["s"][i], at["s"], at["left"]))
    assert np.all(np.diff(roads["s"]) < 0.6)
    assert roads["s"][-1] == pytest.approx(trace.path.length)


@pytest.mark.parametrize("name", ["../steps.parquet", "/etc/passwd", "a/b.mp4", "..", "", "a\\b"])
def test_a_video_is_looked_for_in_the_run_alone(filmed, name):
    with pytest.raises(RunError, match="is no plain file name"):
        filmed.video(name)


def test_a_link_is_no_video_of_the_run(filmed):
    link = filmed.folder / "views" / "linked.mp4"
    link.symlink_to("/etc/hostname")
    with pytest.raises(RunError, match="is a link"):
        filmed.video("linked.mp4")
