"""Runs and traces in Rerun: a 3D scene, the views, and time series, laid out ready to look at.

`drives` says what of the runs is shown and when, `scene`, `clouds`, `views` and `plots` log it,
`trace` logs a recording, `layout` arranges it, `serving` opens a window, a page or a file.
"""
