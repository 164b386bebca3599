"""Compares what vector environments return."""


def assert_same(ours, theirs, path="infos"):
    """Same structure, types, shapes and bytes."""
    assert type(ours) is type(theirs), path
    if isinstance(ours, dict):
        assert set(ours) == set(theirs), path
        for key in ours:
            assert_same(ours[key], theirs[key], f"{path}[{key}]")
    elif isinstance(ours, tuple):
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_same(*pair, f"{path}[{i}]")
    elif ours.dtype == object:
        assert theirs.dtype == object, path
        for a, b in zip(ours, theirs, strict=True):
            if isinstance(a, dict):
                assert_same(a, b, path)
            else:
                assert a == b, path
    else:
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), path
        assert ours.tobytes() == theirs.tobytes(), path
