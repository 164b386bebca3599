"""Which bytes decide a result, and whether they are still the same.

Whatever is kept or gone on with (runs, bakes, trainings, caches) is known by what is here:

files      the content of a file, remembered while the file is as it was
traces     a recording, and what was baked from it
sources    this package's own code
runs       what decided a run, as its run.json says

How a policy drives (its files, its code, the version that it declares) is known by
`vista_sim.policies.identity`, with the hashes of this package.
"""
