"""Learning from reward: REINFORCE, PPO and recurrent PPO."""
