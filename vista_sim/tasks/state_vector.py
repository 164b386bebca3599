"""Names of the state vector for those who import them from here; see `sensors.state_vector`."""

from vista_sim.sensors.state_vector import STATE_NAMES

__all__ = ["STATE_NAMES"]
