"""The parts of the study in ../transfer.py: what is done, and how results are kept and told."""
