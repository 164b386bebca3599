"""Judges a policy on a suite of scenarios.

run         all of it: cases to verdicts
driving     drives one case
rows        what was driven of a case
worker      a process that drives one case after the other
pool        starts such processes, hands out cases, replaces processes that died
run_folder  the run folder: cases in their order, and how it is resumed
verdicts    how each case went, and whether the suite is passed
cost        simulated seconds per wall second, and where the time went
junit       what it came to, for CI systems
report      and for people: tables on the console, Markdown
"""
