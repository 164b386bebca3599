"""Which bytes decide a result, and whether they are still the same.

Whatever is kept or gone on with (runs, bakes, trainings, caches) is known by what is here:

files      the content of a file, remembered while the file is as it was
sources    this package's own code
runs       what decided a run, as its run.json says

With these hashes, `vista_sim.geometry.identity` knows a recording and what was baked from it, and
`vista_sim.policies.identity` how a policy drives: its files, its code, the version it declares.
"""
