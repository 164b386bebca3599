"""Images of one camera that are a file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.images import read_image

Frames = Callable[[Sequence[int]], Iterator[NDArray[np.uint8]]]


def image_files(files: Sequence[Path]) -> tuple[tuple[int, int], Frames]:
    """Size (height, width) of these images, by the first, and what reads those of given numbers.

    Raises TraceError: the first cannot be read. Reading raises it too, and where another is of
    another size.
    """
    height, width = size = read_image(files[0], TraceError).shape[:2]

    def frames(numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        for number in numbers:
            image = read_image(files[number], TraceError)
            if image.shape[:2] != size:
                raise TraceError(
                    f"{files[number]}: is {image.shape[:2]}; the first image is {size} "
                    "(height, width)"
                )
            yield image

    return (height, width), frames
