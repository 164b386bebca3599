"""What mends a finding: an option of the format that the trace came in by, else what to write."""

from __future__ import annotations

import dataclasses

from vista_sim.errors import VistaError
from vista_sim.traces.importers.registry import find_importer, formats

FIX = "or let --fix do it"


class Remedies:
    """Says what to do about a drive.

    Args:
        importer: the format that its trace came in by; empty, or one that is not known here: it
            was written by another program.
    """

    def __init__(self, importer: str) -> None:
        self._importer = importer if importer in formats() else ""
        self._options: frozenset[str] = frozenset()
        if self._importer:
            try:
                fields = dataclasses.fields(find_importer(importer).options)
            except VistaError:  # another package's, or its extra is missing
                self._importer = ""
            else:
                self._options = frozenset(field.name for field in fields)

    def change(self, what: str, *options: tuple[str, str]) -> str:
        """Of options (name, how it is to be given) the first that the format has; else `what`."""
        for name, given in options:
            if name in self._options:
                return f"import with {given}, {FIX}"
        if self._importer:
            return f"let --fix do it: {self._importer} has no option for {what}"
        return f"write it with {what}, {FIX}"

    def part(self, what: str, *options: str) -> str:
        """Advice to take another part of the recording, by options that all formats have."""
        return f"{what}: {' and '.join(options)}" if self._importer else what


def moved(off: float) -> str:
    """How a value is to be changed that is too large by so much, m."""
    return f"{'lowered' if off > 0 else 'raised'} by {abs(off):.2f} m"
