"""Turns a recorded drive into a world a policy can drive in.

Heavy parts (OpenCV, Numba, PyArrow, PyAV, PyTorch, PyBullet) load when first used;
importing the package registers its Gymnasium environments and little else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vista_sim.envs.registration import register_environments
from vista_sim.lazy import names_from
from vista_sim.version import __version__

if TYPE_CHECKING:
    from vista_sim.car import Place
    from vista_sim.dynamics.action import Action
    from vista_sim.envs.lane_following import parallel_env
    from vista_sim.envs.recording import RecordRun
    from vista_sim.evaluation.evaluate import evaluate
    from vista_sim.policies import Policy, load_policy
    from vista_sim.sensors.camera import Camera
    from vista_sim.sensors.spec import CameraSpec, SensorSpec, StateSpec
    from vista_sim.tasks.endings import Ending, Endings
    from vista_sim.tasks.lane_following import LaneFollowing, Rewards
    from vista_sim.tasks.task import Task
    from vista_sim.traces.samples import sample_trace
    from vista_sim.traces.trace import Trace
    from vista_sim.world import World

_HOMES = {
    "Action": "vista_sim.dynamics.action",
    "Camera": "vista_sim.sensors.camera",
    "CameraSpec": "vista_sim.sensors.spec",
    "Ending": "vista_sim.tasks.endings",
    "Endings": "vista_sim.tasks.endings",
    "LaneFollowing": "vista_sim.tasks.lane_following",
    "Policy": "vista_sim.policies",
    "Place": "vista_sim.car",
    "RecordRun": "vista_sim.envs.recording",
    "Rewards": "vista_sim.tasks.lane_following",
    "SensorSpec": "vista_sim.sensors.spec",
    "StateSpec": "vista_sim.sensors.spec",
    "Task": "vista_sim.tasks.task",
    "Trace": "vista_sim.traces.trace",
    "World": "vista_sim.world",
    "evaluate": "vista_sim.evaluation.evaluate",
    "load_policy": "vista_sim.policies",
    "parallel_env": "vista_sim.envs.lane_following",
    "sample_trace": "vista_sim.traces.samples",
}

__all__ = [
    "Action",
    "Camera",
    "CameraSpec",
    "Ending",
    "Endings",
    "LaneFollowing",
    "Place",
    "Policy",
    "RecordRun",
    "Rewards",
    "SensorSpec",
    "StateSpec",
    "Task",
    "Trace",
    "World",
    "__version__",
    "evaluate",
    "load_policy",
    "parallel_env",
    "sample_trace",
]


__getattr__ = names_from(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)


register_environments()
