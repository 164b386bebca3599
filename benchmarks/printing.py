"""How a benchmark that measures in a scratch folder ends: its result on stdout, or one line."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vista_sim.errors import VistaError


def print_measured(
    options: argparse.Namespace,
    measure: Callable[[argparse.Namespace, Path], dict[str, Any]],
    as_text: Callable[[dict[str, Any]], str],
) -> None:
    """Measure and print, as JSON where `options.json` is set; exit status 2 after a VistaError."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(options, Path(folder))
    except VistaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(json.dumps(result, indent=2) if options.json else as_text(result))
