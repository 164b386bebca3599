"""Distances by which a pose is found on a path: constants of `path` and of its compiled `curve`."""

from __future__ import annotations

SPACING = 0.5  # m between points of a path
WINDOW = 10.0  # m to each side of near= that is searched first
REACH = 25.0  # m from the path; a pose farther out is not projected
HEADING_WEIGHT = 5.0  # m of distance that a radian of heading error counts as
