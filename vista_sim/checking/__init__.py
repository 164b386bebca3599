"""Whether an imported drive is right: its frames against its poses and its calibration.

What a recording says of itself is compared in `vista_sim.traces.checks`. Here the frames are looked
at: how they say the car moves and where the road is, and what contradicts that.
"""
