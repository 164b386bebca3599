"""Policy files of other tools: none is read, and each is told its way."""

import re
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from vista_agents.cli import main as train

from vista_sim.errors import PolicyError
from vista_sim.policies import load_policy
from vista_sim.policies.identity import policy_hash

README = Path(__file__).resolve().parents[1] / "vista_sim" / "policies" / "README.md"


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("ppo.zip", r"a Stable-Baselines3 file: give module:factory"),
        ("net.pt", r"may hold code and is not read: export the network as ONNX"),
        ("NET.PTH", r"may hold code and is not read: export the network as ONNX"),
        ("net.ckpt", r"export the network as ONNX"),
        ("net.pkl", r"export the network as ONNX"),
        ("net.h5", r"a Keras file: export the network as ONNX"),
        ("net.keras", r"a Keras file: export the network as ONNX"),
        ("weights.safetensors", r"give the policy folder"),
        ("policy.json", r"give the folder or the .onnx file"),
        ("driver.py", r"name what makes the policy: module:factory"),
        ("notes.txt", r"is a file, and no .onnx file; give a folder with policy.json"),
        ("policy", r"is a file, and no .onnx file; give a folder with policy.json"),
    ],
)
def test_a_file_of_another_tool_is_told_its_way(tmp_path, name, way):
    file = tmp_path / name
    file.write_bytes(b"PK\x03\x04 whatever it holds")
    for use in (load_policy, policy_hash):
        with pytest.raises(PolicyError, match=way) as told:
            use(file)
        assert "\n" not in str(told.value)


def test_the_export_of_such_a_file_is_told_it_too(tmp_path, capsys):
    (tmp_path / "ppo.zip").write_bytes(b"PK")
    with pytest.raises(SystemExit) as stop:
        train(["export", "--policy", str(tmp_path / "ppo.zip")])
    assert stop.value.code == 2
    assert "a Stable-Baselines3 file: give module:factory" in capsys.readouterr().err


def test_the_way_of_stable_baselines3_works(tmp_path, monkeypatch):
    sb3 = pytest.importorskip("stable_baselines3")
    env = gymnasium.make("VistaSim/LaneFollowing-v0", traces="proving-ground", size=(66, 200))
    model = sb3.PPO("MultiInputPolicy", env, n_steps=2, batch_size=2, seed=3, device="cpu")
    seen, _ = env.reset(seed=1)
    env.close()
    section = README.read_text(encoding="utf-8").split("## Policies of other tools")[1]
    (tmp_path / "my_driver.py").write_text(re.search(r"```python\n(.*?)```", section, re.S)[1])
    model.save(tmp_path / "ppo.zip")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    policy = load_policy("my_driver:Driver")
    monkeypatch.delitem(sys.modules, "my_driver")
    wanted, _ = model.predict(seen, deterministic=True)
    policy.reset()
    assert policy.act(seen).curvature == pytest.approx(0.2 * float(np.asarray(wanted)[0]))
