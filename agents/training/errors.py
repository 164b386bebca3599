"""What goes wrong in a training."""

from vista_sim.errors import VistaError


class TrainingError(VistaError, RuntimeError):
    """A training cannot start or cannot go on."""
