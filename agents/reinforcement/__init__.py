"""Policies that learn from reward alone: REINFORCE, PPO and recurrent PPO."""
