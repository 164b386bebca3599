"""`vista-train saliency`: its picture, and what it refuses."""

import json

import cv2
import numpy as np
import pytest
from small_networks import VIEW, small
from vista_agents.cli import main
from vista_agents.networks.registry import build_network
from vista_agents.networks.sensors import own_sensors
from vista_agents.policy import NetworkPolicy, PolicySpec
from vista_agents.saliency_picture import overlay


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A policy with a camera, and one without."""
    made = {}
    for name in ("lstm", "mlp"):
        config = small(name)
        made[name] = tmp_path_factory.mktemp("policies") / name
        NetworkPolicy(PolicySpec(own_sensors(config), config), build_network(config)).save(
            made[name]
        )
    return made


def run(capsys, *args):
    main(["saliency", *map(str, args)])
    return capsys.readouterr().out


def test_it_draws_each_moment(folders, road_trace, tmp_path, capsys):
    out = tmp_path / "new" / "strip.png"
    common = ("--policy", folders["lstm"], "--trace", road_trace, "--json")
    told = json.loads(run(capsys, *common, "--t", "3", "10.25", "-o", out))
    assert [look["t"] for look in told["looks"]] == [3.0, 10.25]
    picture = cv2.imread(str(out))
    assert picture.shape[1] == 2 * 2 * VIEW[1]
    assert picture.shape[0] > 2 * 2 * VIEW[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policy": "mlp"}, "gives no saliency maps"),
        ({"t": "500"}, "t is 500.0 s"),
        ({"t": "nan"}, "t is"),
        ({"out": "strip.jpg"}, "must end in .png"),
        ({"before": "-1"}, "before is -1"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_picture(
    folders, road_trace, tmp_path, capsys, change, said
):
    options = {"policy": "lstm", "t": "3", "out": "strip.png", "before": "1", **change}
    args = ["--policy", folders[options["policy"]], "--trace", road_trace, "--t", options["t"]]
    args += ["--before", options["before"], "-o", tmp_path / options["out"]]
    with pytest.raises(SystemExit) as stop:
        run(capsys, *args)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    lines = [line for line in message.splitlines() if line.startswith("vista-train:")]
    assert len(lines) == 1
    assert said in lines[0]
    assert not list(tmp_path.iterdir())


def test_what_is_salient_glows_and_the_rest_is_gray():
    view = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    found = np.zeros((20, 30), np.float32)
    found[5:10, 5:10] = 1.0
    drawn = overlay(view, found).astype(int)
    outside = np.delete(drawn.reshape(-1, 3), np.flatnonzero(found), axis=0)
    assert (np.ptp(outside, axis=1) == 0).all()
    inside = drawn[5:10, 5:10].reshape(-1, 3)
    assert (inside[:, 0] > inside[:, 2] + 40).all()  # yellow, not blue
