"""Colours of drawn pictures, RGB."""

from __future__ import annotations

Color = tuple[int, int, int]

BACKGROUND: Color = (22, 24, 29)
GROUND: Color = (34, 37, 43)
ROAD: Color = (58, 62, 70)
EDGE: Color = (120, 126, 136)
PATH: Color = (236, 238, 242)
TRACK: Color = (255, 159, 67)
CAR: Color = (64, 186, 255)
LABEL: Color = (146, 152, 163)
VALUE: Color = (236, 238, 242)
ALARM: Color = (255, 92, 92)
