"""Damage to what says which sensors there are: policy.json, descriptions of ONNX models, the
`ready` of a policy's server, and `[sensors.NAME]` of scenario files.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from typing import Any

from .message_operators import MSG, _message, _pack
from .operators import NotApplicableError, extreme, operator
from .text_operators import NAMES, _parse

Sensors = dict[Any, Any]

REAR = {"kind": "camera", "size": [8, 12], "fov": 1.0}
MOUNT = {"x": -0.5, "y": 0.0, "z": 1.2, "yaw": 0.5}
#: Values that a field cannot have, whatever the sensor.
WRONG = {
    "kind": ("sonar", "Camera", "camera ", "", 3, True, None, ["camera"], {"kind": "camera"}),
    "size": (
        *([], [20], [20, 30, 3], [0, 30], [20, -1], [2**40, 9], [8193, 30], [20, 1e400], "20x30"),
        *(
            20,
            None,
            {"height": 20},
            [[20], [30]],
            ["20", "30"],
            [20.5, 30],
            [True, 30],
            [20] * 9999,
        ),
    ),
    "fov": (0.0, -1.0, 3.2, 60, 1e300, float("nan"), float("inf"), "wide", [1.0], {}, 10**400),
    "mount": (
        *(
            {},
            {"x": 0.0},
            {**MOUNT, "z": float("nan")},
            {**MOUNT, "yaw": "left"},
            {**MOUNT, "w": 1},
        ),
        *([], [1.0] * 15, [1.0] * 17, [[1.0, 0.0], [0.0, 1.0]], "front", 3, [["x"] * 4] * 4),
        *([[float("inf")] * 4] * 4, {**MOUNT, "x": 10**400}, {**MOUNT, "x": []}),
    ),
    "lens": (
        *({}, {"model": "fisheye"}, [], "fisheye", {"model": "pinhole", "fx": 0.0, "fy": 1.0}),
        {
            "model": "x",
            "fx": 9.0,
            "fy": 9.0,
            "cx": 6.0,
            "cy": 4.0,
            "size": [8, 12],
            "distortion": [],
        },
    ),
    "used": ([], [0, 0, 0, 0], [0, 9999, 0, 12], [8, 0, 12, 0], [-1, 8, 0, 12], "all", [0, 8, 0]),
}
#: Values that a field may have; nobody would give them.
STRANGE = {
    "size": ([1, 1], [1, 8192], [8192, 1], [2, 3]),
    "fov": (1e-9, 1e-300, 3.14159, 3.141592653589793),
    "mount": (
        *({**MOUNT, "x": 1e9}, {**MOUNT, "z": -1e300}, {**MOUNT, "yaw": 1e18}, {**MOUNT, "z": 0.0}),
        *([0.0] * 16, [[2.0 * (i == j) for j in range(4)] for i in range(4)], [1.0] * 16),
    ),
    "used": ([0, 1, 0, 1], [7, 8, 11, 12]),
}
ODD_NAMES = (*("speed", "command", "to the rear", "a.b", "a" * 41, "rear\n", "Rück"), *NAMES)
RIGHT_NAME = re.compile("[A-Za-z0-9_-]{1,40}")
TAKEN = ({"kind": "state"}, {**REAR, "kind": "state"})  # of "camera"


def damaged(rng: random.Random, sensors: Sensors) -> tuple[Sensors, bool]:
    """Sensors of which one is wrong or strange, and whether they have to be refused."""
    name = rng.choice((*sensors, "rear"))
    spec = {**sensors.get(name, REAR), **({"mount": MOUNT} if rng.random() < 0.3 else {})}
    change = rng.choice(("wrong", "wrong", "strange", "name", "missing", "unknown", "many", "kind"))
    if change == "wrong":
        key = rng.choice(list(WRONG))
        spec[key] = rng.choice(WRONG[key])
        if key == "lens":
            spec.pop("fov", None)
        refused = spec[key] is not None or key in ("kind", "size")
    elif change == "strange":
        key = rng.choice(list(STRANGE))
        spec[key] = rng.choice((*STRANGE[key], *([extreme(rng)] if key == "fov" else [])))
        refused = False
    elif change == "name":
        name = rng.choice(ODD_NAMES)
        refused = RIGHT_NAME.fullmatch(name) is None or name in ("speed", "command")
    elif change == "missing":
        del spec[rng.choice(("kind", "size"))]
        refused = True
    elif change == "unknown":
        spec[rng.choice(("fow", "sizes", "Kind", *NAMES))] = rng.choice((1, [], {}, "x"))
        refused = False  # a policy's JSON may say more than is read
    elif change == "many":
        count = rng.choice((63, 64, 65, 3000))
        return {**sensors, **{f"c{i}": REAR for i in range(count)}}, count > 64
    else:
        return {**sensors, "camera": rng.choice(TAKEN)}, True
    return {**sensors, name: spec}, refused


@operator("sensors of a policy", ".json")
def sensors_of_a_policy(rng, path):
    """Of policy.json, and of an ONNX model's description, which may have had a camera alone."""
    values, _ = _parse(path)
    if not isinstance(values, dict) or not {"sensors", "camera"} & set(values):
        raise NotApplicableError
    sensors = values.get("sensors")
    if not isinstance(sensors, dict):
        camera = values.pop("camera", None)
        sensors = {"camera": {"kind": "camera", **camera}} if isinstance(camera, dict) else {}
    change = rng.random()
    if change < 0.1:
        values["sensors"], refused = rng.choice(([], "camera", 3, [REAR], [["rear", REAR]])), True
    elif change < 0.2:
        values["sensors"], refused = {"rear": REAR}, True  # and no first camera
    else:
        values["sensors"], refused = damaged(rng, sensors)
    path.write_text(json.dumps(values), errors="surrogatepass")
    return "refused" if refused else None


@operator("sensors of a server", MSG)
def sensors_of_a_server(rng, path):
    values = _message(path)
    if not isinstance(values, dict) or values.get("type") != "ready":
        raise NotApplicableError
    camera = values.pop("camera", None)
    sensors = {"camera": {"kind": "camera", **camera}} if isinstance(camera, Mapping) else {}
    if rng.random() < 0.2:
        values["sensors"] = rng.choice(([], b"camera", 3, {3: REAR}, {b"rear": REAR}, {None: REAR}))
    else:
        values["sensors"], _ = damaged(rng, sensors)
    _pack(path, values)


@operator("sensors of a scenario", ".toml")
def sensors_of_a_scenario(rng, path):
    text = path.read_text()
    if 'format = "vista-scenario/1"' not in text:
        raise NotApplicableError
    text = re.sub(r"(?m)^\[sensors\.[^\[]*", "", text)
    sensors, refused = damaged(rng, {})
    if "\n[sensors]" in text or any(not isinstance(one, dict) for one in sensors.values()):
        raise NotApplicableError
    tables = [f"[sensors.{_toml(str(name))}]\n{_fields(spec)}" for name, spec in sensors.items()]
    path.write_text("\n".join([text, *tables]) + "\n", errors="surrogatepass")
    unknown = any(set(spec) - set(WRONG) for spec in sensors.values())
    return "refused" if refused or unknown else None


def _fields(spec: Sensors) -> str:
    pairs = [(key, value) for key, value in spec.items() if value is not None]
    return "\n".join(f"{_toml(str(key))} = {_toml(value)}" for key, value in pairs)


def _toml(value: Any) -> str:
    """A value as TOML has it; text as in JSON, which is nearly the same."""
    if isinstance(value, dict):
        pairs = [f"{_toml(str(key))} = {_toml(one)}" for key, one in value.items()]
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
