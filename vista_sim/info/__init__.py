"""What a recorded drive holds, and what was baked of it: `vista-sim info`."""
