"""A policy that a Python callable makes: "package.module:factory".

The module is imported and the callable called without arguments, in this process: that runs
its author's code, with all that it may do. The current directory can be imported from, as with
`python -m`.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from vista_sim.errors import PolicyError
from vista_sim.policies.policy import Policy, check_policy

_MISSING = object()


def make_policy(name: str) -> Policy:
    """Import and call `module:factory`.

    Raises:
        PolicyError: there is no such module or callable, its code raised an error, or what it
            returned is no policy.
    """
    module_name, _, attribute = name.partition(":")
    here = "the working folder (it is gone)"
    with suppress(FileNotFoundError):
        here = os.getcwd()
        if here not in sys.path:
            sys.path.insert(0, here)
    if not _exists(module_name):
        raise PolicyError(
            f"{name}: there is no module {module_name!r}, neither in {here} nor installed"
        )
    factory: Any = _run(name, f"import of {module_name!r}", lambda: import_module(module_name))
    for part in attribute.split("."):
        holder = factory
        factory = _run(name, f"{part!r}", lambda: getattr(holder, part, _MISSING))  # noqa: B023
        if factory is _MISSING:
            raise PolicyError(f"{name}: module {module_name!r} has no {attribute!r}")
    if not callable(factory):
        raise PolicyError(
            f"{name}: is a {type(factory).__name__}; name a callable without arguments that "
            "returns a policy"
        )
    policy = _run(name, "the factory", factory)
    # Its attributes may be code, too.
    _run(name, "what the factory returned", lambda: check_policy(policy, f"{name}: returned"))
    checked: Policy = policy
    return checked


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError as error:
        parents = module.split(".")[:-1]
        missing = {".".join(parents[: i + 1]) for i in range(len(parents))}
        # Another name: a parent package fails to import; importing it will say how.
        return error.name not in {*missing, module}
    except (Exception, SystemExit):
        return True


def _run(name: str, what: str, call: Any) -> Any:
    """Call the user's code; what it raises becomes one line with its place."""
    try:
        return call()
    except PolicyError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]
        own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
        place = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
        text = " ".join(str(error).split())[:200]
        kind = type(error).__name__
        raise PolicyError(f"{name}: {what} raised {kind}: {text}{place}") from error
