"""The motion of cars on lines that are known exactly: columns of ego.parquet, by hand."""

import numpy as np
from scipy.spatial.transform import Rotation


def follow(speed, curvature, rate=50.0, seconds=None, climb=0.0, signed=True):
    """Columns of a car with speed (m/s) and curvature (1/m) over time: functions or numbers.

    The way is integrated a hundred times finer than the rows. climb: dz over way, over time.
    """
    seconds = seconds or 30.0
    fine = np.arange(0, seconds + 1e-9, 0.01 / rate)
    v, k, up = (
        np.broadcast_to(x(fine) if callable(x) else x, fine.shape).astype(float)
        for x in (speed, curvature, climb)
    )
    step = np.diff(fine)

    def integrated(values):
        return np.concatenate([[0.0], np.cumsum(0.5 * (values[1:] + values[:-1]) * step)])

    yaw = integrated(v * k)
    level = v / np.hypot(1.0, up)
    x, y, z = (integrated(w) for w in (level * np.cos(yaw), level * np.sin(yaw), level * up))
    rows = slice(None, None, 100)
    turned = Rotation.from_euler("ZY", np.stack([yaw, -np.arctan(up)], axis=1)[rows])
    return {
        "t_ns": np.round(fine[rows] * 1e9).astype(np.int64),
        "position": np.stack([x, y, z], axis=1)[rows],
        "quaternion": turned.as_quat(),
        "speed": v[rows] if signed else np.abs(v[rows]),
        "yaw_rate": (v * k)[rows],
    }


def turned(columns, angle):
    """The same drive with headings (rad) from those that are right, by a function of them."""
    yaw = np.unwrap(2 * np.arctan2(columns["quaternion"][:, 2], columns["quaternion"][:, 3]))
    half = angle(yaw) / 2
    zero = 0 * half
    return columns | {"quaternion": np.stack([zero, zero, np.sin(half), np.cos(half)], axis=1)}


def shaken(columns, deviation, seed=0):
    """The same drive with white noise on its positions (m)."""
    rng = np.random.default_rng(seed)
    moved = columns["position"] + deviation * rng.standard_normal(columns["position"].shape)
    return columns | {"position": moved}


def ramp(*points):
    """A function of time that joins (s, value) by lines."""
    times, values = zip(*points, strict=True)
    return lambda t: np.interp(t, times, values)


#: Drives in which nothing is wrong.
FLAWLESS = {
    "straight": lambda: follow(10.0, 0.0),
    "circle": lambda: follow(8.0, 1 / 15),
    "U-turn": lambda: follow(5.0, ramp((0, 0), (9, 0), (9.4, 1 / 6), (12.9, 1 / 6), (13.3, 0))),
    "figure eight": lambda: follow(8.0, lambda t: np.sin(2 * np.pi * t / 25) / 9, seconds=60),
    "hairpins": lambda: follow(4.5, lambda t: np.sin(2 * np.pi * t / 12) / 6.5, seconds=60),
    "hairpins at 10 Hz": lambda: follow(
        4.5, lambda t: np.sin(2 * np.pi * t / 12) / 6.5, rate=10.0, seconds=60
    ),
    "standing still": lambda: follow(0.0, 0.0),
    "stop and go": lambda: follow(
        ramp((0, 9), (5, 9), (8, 0), (15, 0), (18, 9), (22, 0), (24, 0), (30, 12)), 0.01
    ),
    "emergency stop": lambda: follow(ramp((0, 25), (10, 25), (12.6, 0), (30, 0)), 0.0),
    "creeping": lambda: follow(0.7, 0.02, seconds=60),
    "reversing into a space": lambda: follow(
        ramp((0, 5), (6, 5), (9, 0), (10, 0), (12, -1.4), (19, -1.4), (20, 0), (22, 0), (30, 6)),
        ramp((0, 0), (10, 0), (11, 0.18), (14, 0.18), (16, -0.18), (19, -0.18), (21, 0)),
    ),
    "reversing without a sign": lambda: follow(
        ramp((0, 5), (6, 5), (9, 0), (10, 0), (12, -1.4), (19, -1.4), (20, 0), (22, 0), (30, 6)),
        ramp((0, 0), (10, 0), (11, 0.18), (14, 0.18), (16, -0.18), (19, -0.18), (21, 0)),
        signed=False,
    ),
    "reversing fast": lambda: follow(ramp((0, 8), (8, 8), (11, 0), (14, -5), (30, -5)), 0.01),
    "steep hills": lambda: follow(7.0, 0.01, climb=lambda t: 0.25 * np.sin(t / 4)),
    "motorway at 2 Hz": lambda: follow(33.0, lambda t: np.sin(t / 30) / 900, rate=2.0, seconds=120),
    "town at 5 Hz": lambda: follow(11.0, lambda t: np.sin(t / 5) / 40, rate=5.0, seconds=60),
    "GPS, slow": lambda: shaken(follow(1.5, 0.02, rate=10.0, seconds=60), 0.8),
    "GPS, standing": lambda: shaken(follow(0.0, 0.0, rate=10.0, seconds=60), 1.5),
    "GPS, stop and go": lambda: shaken(
        follow(ramp((0, 6), (10, 6), (14, 0), (30, 0), (34, 6), (60, 2)), 0.02, 10.0, 60), 1.0
    ),
    "GPS at 1 Hz": lambda: shaken(follow(14.0, 0.004, rate=1.0, seconds=120), 1.5),
    "GPS in town": lambda: shaken(
        follow(9.0, lambda t: np.sin(t / 6) / 25, rate=10.0, seconds=60), 0.4
    ),
    "good RTK": lambda: shaken(follow(10.0, 0.01, rate=100.0, seconds=20), 0.01),
    "a second of drive": lambda: follow(8.0, 0.02, seconds=1.0),
}
