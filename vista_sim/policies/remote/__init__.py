"""Policies in other processes, over a local socket; the protocol is in ../README.md."""
