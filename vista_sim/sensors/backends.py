"""What makes views, by name: the modules, which load when used."""

BACKENDS = {
    "numpy": "vista_sim.sensors.reference",
    "numba": "vista_sim.sensors.numba_cpu",
    "torch": "vista_sim.sensors.torch_backend",
}
