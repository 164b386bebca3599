"""Registers the environments with Gymnasium; entry points are strings, so nothing heavy loads."""

import gymnasium

#: Of one environment, and of many in one process.
ENVIRONMENTS: dict[str, tuple[str, str]] = {
    "VistaSim/LaneFollowing-v0": (
        "vista_sim.envs.lane_following:lane_following_env",
        "vista_sim.envs.lane_following:lane_following_vector_env",
    ),
    "VistaSim/Scenario-v0": (
        "vista_sim.envs.scenario:scenario_env",
        "vista_sim.envs.scenario:scenario_vector_env",
    ),
}


def register_environments() -> None:
    """Make `gymnasium.make` know every environment of this package."""
    for name, (entry_point, vector_entry_point) in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name, entry_point=entry_point, vector_entry_point=vector_entry_point
            )
