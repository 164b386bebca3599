"""Depth from one picture, learned from traces without any labels."""
