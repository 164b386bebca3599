"""`vista-train`: the commands that train policies. Heavy parts load when a command runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vista_sim.errors import MissingDependencyError, VistaError


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of `vista-train`. A user's mistake is one line on stderr and exit status 2."""
    try:
        _need_training_extra()
        from .commands import run

        run(sys.argv[1:] if args is None else args)
    except VistaError as error:
        print(f"vista-train: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            "vista-train: interrupted; a training goes on from its last checkpoint with --resume",
            file=sys.stderr,
        )
        sys.exit(130)


def _need_training_extra() -> None:
    from importlib.util import find_spec

    for name in ("tyro", "torch", "safetensors", "tensorboard"):
        if find_spec(name) is None:
            raise MissingDependencyError(
                f"{name} is not installed; training needs the extra: pip install 'vista-sim[train]'"
            )
