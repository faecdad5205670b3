"""Where the pixels of a flying camera lie on the ground, and back: a pinhole over flat ground.

Positions are meters east and north of a map's origin. Columns run right and rows down; pixel (0, 0) is the top
left one and its center lies at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Pose", "ground_patch", "sample"]


@dataclass(frozen=True)
class Pose:
    """A camera without distortion, its horizon level.

    Attributes:
        x, y: meters east and north.
        altitude: meters above the ground.
        heading: of the view (of the top of the image, looking straight down), degrees clockwise from north.
        pitch: of the view above the horizon, degrees; -90 looks straight down.
        focal: focal length, pixels.
        height, width: pixels.
    """

    x: float
    y: float
    altitude: float
    heading: float
    pitch: float
    focal: float
    height: int
    width: int

    def moved(self, x: float, y: float) -> Pose:
        """Return the same camera elsewhere."""
        return replace(self, x=x, y=y)

    def turned(self, degrees: float, scale: float) -> Pose:
        """Return the same camera turned clockwise, its altitude times a factor."""
        return replace(self, heading=(self.heading + degrees) % 360, altitude=self.altitude * scale)

    @property
    def axes(self) -> np.ndarray:
        """``(3, 3)``: right, down and forward as (east, north, up)."""
        heading, pitch = np.radians([self.heading, self.pitch])
        forward = np.array([np.sin(heading) * np.cos(pitch), np.cos(heading) * np.cos(pitch), np.sin(pitch)])
        right = np.array([np.cos(heading), -np.sin(heading), 0.0])
        return np.stack([right, np.cross(forward, right), forward])

    def to_ground(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project pixels to meters east and north on the ground; NaN above the horizon.

        Example:
            >>> pose = Pose(10, 20, 50, heading=0, pitch=-90, focal=100, height=48, width=64)
            >>> [round(float(v), 6) for v in pose.to_ground(np.array(42.0), np.array(24.0))]  # 10 pixels right
            [15.0, 20.0]
        """
        local = [
            (np.asarray(columns, float) - self.width / 2) / self.focal,
            (np.asarray(rows, float) - self.height / 2) / self.focal,
            np.ones(np.shape(columns)),
        ]
        rays = np.stack(np.broadcast_arrays(*local), -1) @ self.axes
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(rays[..., 2] < -1e-6, -self.altitude / rays[..., 2], np.nan)
        return self.x + rays[..., 0] * reach, self.y + rays[..., 1] * reach

    def to_pixels(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project points on the ground to columns and rows; NaN behind the camera."""
        points = np.stack(np.broadcast_arrays(x, y, 0.0), -1) - (self.x, self.y, self.altitude)
        local = points @ self.axes.T
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = np.where(local[..., 2] > 1e-6, local[..., 2], np.nan)
            columns = local[..., 0] / depth * self.focal + self.width / 2
            return columns, local[..., 1] / depth * self.focal + self.height / 2

    @property
    def looks_at(self) -> tuple[float, float]:
        """The ground in the middle of the image; the point below the camera where there is none."""
        x, y = self.to_ground(np.array(self.width / 2), np.array(self.height / 2))
        return (float(x), float(y)) if np.isfinite(x) else (self.x, self.y)


def sample(layer: np.ndarray, columns: np.ndarray, rows: np.ndarray, outside: int) -> np.ndarray:
    """Sample a layer of labels at points, nearest neighbor.

    ``outside`` beyond it and where a point is no number.

    Example:
        >>> sample(np.array([[1, 2]], np.uint8), np.array([0.2, 1.9, 2.1]), np.array([0.5, 0.5, 0.5]), 255)
        array([  1,   2, 255], dtype=uint8)
    """
    known = np.isfinite(columns) & np.isfinite(rows)
    column = np.floor(np.where(known, columns, -1)).astype(np.int64)
    row = np.floor(np.where(known, rows, -1)).astype(np.int64)
    height, width = layer.shape
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    found = layer[row.clip(0, height - 1), column.clip(0, width - 1)]
    return np.where(inside, found, layer.dtype.type(outside))


def ground_patch(labels: np.ndarray, pose: Pose, meters: float, pixels: int, outside: int) -> np.ndarray:
    """Rectify a labeling as the map would show it.

    North up, seen from above, around where the camera looks.

    Args:
        labels: ``(H, W)`` of the image; it may be of another size than the pose's.
        pose: of the camera; its position does not matter.
        meters: side of the patch.
        pixels: side of the result.
        outside: the value of what the image does not show.

    Returns:
        ``(pixels, pixels)`` of the labels' type.
    """
    middle = pose.looks_at
    steps = (np.arange(pixels) + 0.5) / pixels * meters - meters / 2
    x, y = np.meshgrid(middle[0] + steps, middle[1] - steps)
    columns, rows = pose.to_pixels(x, y)
    height, width = labels.shape
    return sample(labels, columns * width / pose.width, rows * height / pose.height, outside)
