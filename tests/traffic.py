"""Drives through the street of textured planes with boxes on it that move."""

from dataclasses import dataclass

from textured import STREET


@dataclass(frozen=True)
class Box:
    """A textured box on the ground along the x axis: its middle and size (m), speed (m/s)."""

    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    size: tuple[float, float, float] = (4.2, 1.8, 1.5)
    seed: int = 20

    def faces(self, t):
        """Its front, back and sides at time t, as planes of `textured`."""
        x, y = self.x + self.vx * t, self.y + self.vy * t
        length, width, height = self.size
        across = ((0, 1, 0), (0, 0, 1), (-width / 2, width / 2), (0, height))
        along = ((1, 0, 0), (0, 0, 1), (-length / 2, length / 2), (0, height))
        return (
            ((x - length / 2, y, 0), (-1, 0, 0), *across, self.seed),
            ((x + length / 2, y, 0), (1, 0, 0), *across, self.seed + 1),
            ((x, y - width / 2, 0), (0, -1, 0), *along, self.seed + 2),
            ((x, y + width / 2, 0), (0, 1, 0), *along, self.seed + 3),
            (
                (x, y, height),
                (0, 0, 1),
                (1, 0, 0),
                (0, 1, 0),
                (-length / 2, length / 2),
                (-width / 2, width / 2),
                self.seed + 4,
            ),
        )


def scene(boxes, t, street=STREET):
    """A street and its boxes at time t."""
    return street + tuple(face for box in boxes for face in box.faces(t))
