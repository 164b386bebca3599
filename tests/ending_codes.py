"""What codes of endings of lane following, and of tests of recovery in it, stand for: as they were
when the first of them were handed out.
"""

ENDINGS = (
    None,
    "off_road",
    "heading",
    "end_of_trace",
    "time_limit",
    "recovered",
    "not_recovered",
)
