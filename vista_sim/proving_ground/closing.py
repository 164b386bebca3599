"""What holds a rendered world and lets go of it."""

from __future__ import annotations

from typing import Self


class Closing:
    """Is closed at the end of a `with` block, however that comes."""

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
