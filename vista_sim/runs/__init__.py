"""A run: what was driven, on disk. Written by judging, recording and human driving; read by
judging, the viewer and the report.

    run        what a run folder holds, and how it is read
    writer     writes one as it is driven
    recorder   turns what cars do into rows
    kinds      kinds of episodes
    filming    turns what they see into videos, and says which frame shows which step
    compose    the picture of a moment, for films and windows
    roads      the recorded roads that are driven
"""
