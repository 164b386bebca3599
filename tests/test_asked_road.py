"""What an ending cuts off is no missed road, and what is cropped away is not seen."""

import math

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx_models import save
from test_metrics_by_hand import drive_of, texts

from vista_sim.dynamics.actuation import Controls
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.evaluation.judging import judge
from vista_sim.evaluation.metrics import composite, safety
from vista_sim.policies import CameraSpec
from vista_sim.policies.onnx.policy import OnnxPolicy
from vista_sim.policies.policy import Action
from vista_sim.runs.run import columns
from vista_sim.runs.writer import RunWriter
from vista_sim.tasks.lane_following import Endings, LaneFollowing
from vista_sim.world import World


def limited(end, asked, ending="time_limit", section=(0.0, 300.0)):
    return drive_of((0.0, end), section=section) | {
        "ending": texts(ending),
        "asked_s": np.array([asked]),
    }


@pytest.mark.parametrize(
    ("end", "asked", "ending", "share"),
    [
        (60.0, 60.0, "time_limit", 1.0),  # as far as the time went
        (20.0, 80.0, "time_limit", 0.25),  # dawdled: the recording came four times as far
        (40.0, 50.0, "off_road", 0.8),  # crashed when 10 m were left of the time
        (90.0, 80.0, "time_limit", 1.0),  # faster than the recording is no more than all
        (60.0, math.nan, "off_road", 0.2),  # without a limit the section is asked for
        (60.0, 400.0, "off_road", 0.2),  # and never more than it
    ],
)
def test_what_a_time_limit_cuts_off_is_not_asked_for(end, asked, ending, share):
    episodes = limited(end, asked, ending)
    assert safety.share_without_intervention(episodes) == pytest.approx(share)
    assert safety.route_completion(episodes) == pytest.approx(share)
    assert composite.progress(episodes) == pytest.approx(share)


def test_set_back_and_then_out_of_time_misses_what_was_skipped():
    ways = drive_of((0.0, 40.0), (50.0, 80.0), section=(0.0, 300.0))
    ways |= {"ending": texts("off_road", "time_limit"), "asked_s": np.array([90.0, 80.0])}
    assert safety.share_without_intervention(ways) == pytest.approx(70 / 80)
    assert safety.route_completion(ways) == 1.0


def asked_of(trace, act, seconds, **controls):
    """`asked_s` of a drive on the made-up road, which was recorded at 8 m/s."""
    from vista_sim.runs.recorder import Recorder

    world = World([trace], task=LaneFollowing(Endings(time_limit=seconds)))
    car = world.spawn_agent()
    car.controls = Controls(**controls)
    with RunWriter(None, {}) as writer:
        recorder = Recorder(writer)
        car.reset(s=0.0)
        recorder.begin(car, "closed_loop")
        while not car.done:
            car.move(act(car))
            recorder.step(car, 0.0, 0.0)
        recorder.end(car)
        episodes = columns(writer.episodes.table())
    return float(episodes["asked_s"][0]), float(episodes["end_s"][0]), str(episodes["ending"][0])


def straight(_):
    return Action(0.0)


def test_the_speed_of_the_recording_asks_for_where_the_car_came_to(road_trace):
    asked, end, ending = asked_of(road_trace, straight, 2.0)
    assert (asked, ending) == (end, "time_limit")
    assert asked == pytest.approx(16.0, abs=0.1)


def test_a_crash_misses_what_the_rest_of_the_time_would_have_given(road_trace):
    hard = lambda _: Action(0.2)  # noqa: E731
    asked, end, ending = asked_of(road_trace, hard, 5.0)
    assert ending in ("off_road", "heading")
    assert end < 30.0
    assert asked == pytest.approx(40.0, abs=0.5)  # 8 m/s for 5 s
    assert asked_of(road_trace, hard, 5.0, speed_factor=0.5)[0] == pytest.approx(20.0, abs=0.5)
    assert asked_of(road_trace, hard, 5.0, speed_limit=2.0)[0] == pytest.approx(10.0, abs=0.5)


def test_who_holds_the_speed_is_measured_by_the_recording(road_trace):
    asked, end, _ = asked_of(road_trace, lambda _: Action(0.0, -4.0), 3.0)
    assert end < 9.0  # 8 m/s braked at 4 m/s²: 8 m
    assert asked == pytest.approx(24.0, abs=0.1)


def older(folder, acceleration):
    """A run from before `asked_s`: 2 m in its 1 s, where the recording drove 8 m/s."""
    with RunWriter(folder, {"seed": 0}) as writer:
        for k in range(11):
            row = {"episode": 0, "step": k, "t": 0.1 * k, "s": 0.2 * k}
            writer.steps.append(row | {"action_acceleration": acceleration})
        row = {"episode": 0, "kind": "closed_loop", "trace": 0, "trace_name": "road"}
        row |= {"section_start_s": 0.0, "section_end_s": 100.0, "start_s": 0.0, "end_s": 2.0}
        writer.episodes.append(row | {"duration": 1.0, "distance": 2.0, "ending": "time_limit"})
        writer.finish({})
    s = np.arange(0.0, 120.5, 0.5)
    road = {name: np.zeros(len(s)) for name in ("x", "y", "z", "yaw")}
    road |= {"s": s, "x": s, "t": s / 8, "trace": np.zeros(len(s), np.int32)}
    pq.write_table(pa.table(road), folder / "roads.parquet")
    path = folder / "episodes.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["asked_s"]), path)
    return folder


def test_older_runs_are_judged_by_what_their_roads_say(tmp_path):
    name = "share_without_intervention"
    held = judge(older(tmp_path / "recorded", None)).overall.metrics
    assert held[name].value == 1.0
    own = judge(older(tmp_path / "own", -1.0)).overall.metrics
    assert own[name].value == pytest.approx(2.0 / 8.0)  # the road was recorded at 8 m/s


def test_the_expert_misses_nothing_of_a_limited_scenario(road_trace, tmp_path):
    import suite_files

    path = suite_files.scenario(tmp_path, road_trace, "short", top=["time_limit = 2.0"])
    found = evaluate("expert", path, workers=0).metrics
    assert found["share_without_intervention"] == found["route_completion"] == 1.0
    assert found[composite.CLOSED_LOOP_SCORE] == found[composite.DRIVING_SCORE] == 1.0


def test_only_the_pixels_that_a_policy_gets_count_as_seen(road_trace):
    world = World([road_trace])
    car = world.spawn_agent()
    car.spawn_camera("camera", (40, 60), used=(20, 40, 5, 30))
    car.reset(s=10.0, lateral=1.5)
    assert not car.valid.all()
    assert car.valid[20:40, 5:30].mean() != car.valid.mean()
    assert car.validity == pytest.approx(car.valid[20:40, 5:30].mean())


def test_crops_in_a_description_are_what_its_camera_uses(tmp_path):
    crops = ({"top": 1, "left": 2, "right": 1}, {"x": 0, "y": 2, "width": 3, "height": 1})
    boxes = ((1, 4, 2, 5), (2, 3, 0, 3))
    for crop, used in zip(crops, boxes, strict=True):
        top, bottom, left, right = used
        nodes = [onnx.helper.make_node("ReduceMean", ["picture"], ["answer"], keepdims=0)]
        entry = {"name": "picture", "what": "camera", "layout": "HWC", "crop": crop}
        settings = {
            "format": "vista-onnx-policy/1",
            "camera": {"size": [4, 6]},
            "inputs": [entry],
            "outputs": [{"name": "answer", "what": "curvature", "unit": "1/m"}],
        }
        shape = [bottom - top, right - left, 3]
        path = save(tmp_path / "model.onnx", nodes, {}, shape, [], settings=settings)
        camera = OnnxPolicy(path).camera
        assert camera.used == used
        assert CameraSpec.from_json(camera.to_json()) == camera  # as a socket passes it on
    seen = np.zeros((4, 6), bool)
    seen[2, 0] = True
    assert camera.share_seen(seen) == pytest.approx(1 / 3)
