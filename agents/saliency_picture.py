"""`vista-train saliency`: pictures of what in the view a policy's steering depended on."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from vista_sim.errors import PolicyError
from vista_sim.images import write_png
from vista_sim.policies import Action, SalientPolicy, load_policy
from vista_sim.policies.policy import policy_camera, policy_sensors
from vista_sim.policies.saliency import checked_saliency
from vista_sim.traces.trace import Trace
from vista_sim.world import Car, World

Image = NDArray[np.uint8]

_DT = 0.1  # s from frame to frame
_BAR = 22  # px, height of the line of text above a moment
_SCALE = 2  # of the view in the picture
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Saliency:
    """Draw what in the view a policy's steering depended on: bright where it looked."""

    policy: Path
    """Policy folder."""
    trace: Annotated[Path, tyro.conf.arg(aliases=("--traces",))]
    """Trace to look at."""
    out: Annotated[Path, tyro.conf.arg(aliases=("-o",))]
    """Picture to write (.png); one that is there is replaced."""
    t: tuple[float, ...] = (3.0, 10.0)
    """Moments of the trace, s."""
    lateral: float = 0.0
    """Metres to the left of the recorded car."""
    heading: float = 0.0
    """Turn to the left, degrees."""
    before: float = 2.0
    """Seconds before each moment that the policy is shown first, for what it remembers."""
    json: bool = False
    """Print what was drawn as JSON."""

    def __post_init__(self) -> None:
        for name, value in (("lateral", self.lateral), ("heading", self.heading)):
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}; it must be finite")
        if not self.t or not all(map(math.isfinite, self.t)):
            raise ValueError(f"t is {self.t}; give moments in seconds, such as --t 3 10")
        if not 0 <= self.before <= 60:
            raise ValueError(f"before is {self.before} s; it must be from 0 to 60")


@dataclass(frozen=True)
class Look:
    """What a policy saw at a moment, where it looked and what it answered."""

    t: float
    view: Image  # (h, w, 3) RGB
    map: NDArray[np.float32]  # (h, w), 0 to 1
    action: Action


def draw_saliency(recipe: Saliency) -> list[Look]:
    """Write the picture of a recipe and say where it is.

    Raises:
        PolicyError: the policy gives no saliency maps, or the picture cannot be written.
        WorldError, TraceError: the trace cannot be used, or a moment is not on drivable road.
    """
    out = recipe.out
    if out.suffix.lower() != ".png":
        raise PolicyError(f"{out}: the picture is a PNG; its name must end in .png")
    looks = look(recipe)
    write_png(out, np.vstack([_row(one) for one in looks]), PolicyError)
    if recipe.json:
        print(json.dumps({"picture": str(out), "looks": [_numbers(one) for one in looks]}))
    else:
        print(f"{out}: what the steering depended on, at {len(looks)} moments")
    return looks


def look(recipe: Saliency) -> list[Look]:
    """Show a policy the moments of a recipe. Raises as `draw_saliency` does."""
    policy = load_policy(recipe.policy)
    camera = policy_camera(policy)
    if camera is None or not isinstance(policy, SalientPolicy):
        raise PolicyError(f"{recipe.policy}: this policy gives no saliency maps")
    world = World([Trace.open(recipe.trace)], dt=_DT)
    car = world.spawn_agent()
    car.spawn_sensors(policy_sensors(policy))
    looks = []
    for moment in recipe.t:
        policy.reset()
        action, found = Action(0.0), None
        first = max(moment - recipe.before, _start_of_section(world, moment))
        for t in np.append(np.arange(first, moment - 0.5 * _DT, _DT), moment).tolist():
            _place(car, t, recipe)
            action = policy.act(car.observations, car)
        found = policy.saliency()
        if found is None:
            raise PolicyError(f"{recipe.policy}: this policy gives no saliency map")
        view: Image = car.observations["camera"]
        looks.append(Look(moment, view, checked_saliency(found, camera.size), action))
    return looks


def _start_of_section(world: World, t: float) -> float:
    for section in world.sections[0]:
        if section.start <= t <= section.end:
            return section.start
    stretches = ", ".join(f"{s.start:.1f} to {s.end:.1f}" for s in world.sections[0])
    raise PolicyError(
        f"t is {t} s; {world.traces[0].root} can be driven from {stretches or 'nowhere'} s"
    )


def _place(car: Car, t: float, recipe: Saliency) -> None:
    s = car.world.traces[0].path.arc_length(t)
    car.reset(trace=0, s=s, lateral=recipe.lateral, heading=math.radians(recipe.heading))


def _row(one: Look) -> Image:
    """A view, and the map over it in gray, under a line that says what was answered."""
    height, width = (_SCALE * n for n in one.map.shape)
    view = cv2.resize(one.view, (width, height), interpolation=cv2.INTER_CUBIC)
    bar = np.zeros((_BAR, 2 * width, 3), dtype=np.uint8)
    text = f"t = {one.t:g} s   curvature {one.action.curvature:+.4f} 1/m"
    cv2.putText(bar, text, (8, _BAR - 7), _FONT, 0.42, (230, 230, 230), 1, cv2.LINE_AA)
    return np.vstack([bar, np.hstack([view, overlay(view, one.map)])])


def overlay(view: Image, found: NDArray[np.float32]) -> Image:
    """A map (h, w) in glowing colours over the gray view (height, width, 3), RGB."""
    large = cv2.resize(found, view.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    gray = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)[..., None] * 0.7
    heat = cv2.applyColorMap(np.rint(255 * large).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = np.sqrt(large)[..., None] * 0.85
    drawn: Image = np.rint((1 - share) * gray + share * heat[..., ::-1]).astype(np.uint8)
    return drawn


def _numbers(one: Look) -> dict[str, Any]:
    v, u = np.unravel_index(int(one.map.argmax()), one.map.shape)
    return {
        "t": one.t,
        "curvature": one.action.curvature,
        "most": {"row": int(v), "column": int(u)},
    }
