"""Pinhole cameras, and where a car, a street camera and a UAV carry them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .city import City, Street

__all__ = ["Camera", "Route", "drive", "look", "nadir", "plan_route"]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Pixel (0, 0) is the top left one and its center lies at (0.5, 0.5). The camera's axes are right, down,
    forward.

    Attributes:
        position: ``(3,)`` meters in the city.
        axes: ``(3, 3)`` rows right, down and forward as (east, north, up).
        focal: focal length in pixels.
        height, width: pixels.
        center: offset of the principal point from the middle of the image, pixels.
    """

    position: np.ndarray
    axes: np.ndarray
    focal: float
    height: int
    width: int
    center: tuple[float, float] = (0.0, 0.0)

    def directions(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return unit rays through points of the image, ``(..., 3)`` float32; positions in pixels."""
        x = (columns - self.width / 2 - self.center[0]) / self.focal
        y = (rows - self.height / 2 - self.center[1]) / self.focal
        rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ self.axes
        return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Project points ``(..., 3)`` to columns and rows in pixels, and depth in meters along the axis.

        Behind the camera the depth is negative and the position means nothing.
        """
        local = (points - self.position) @ self.axes.T
        depth = local[..., 2]
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        column = local[..., 0] / safe * self.focal + self.width / 2 + self.center[0]
        row = local[..., 1] / safe * self.focal + self.height / 2 + self.center[1]
        return column, row, depth

    def shifted(
        self,
        right: float,
        down: float,
        forward: float = 0.0,
        focal: float = 1.0,
        center: tuple[float, float] = (0.0, 0.0),
    ) -> Camera:
        """Return a second camera beside this one.

        Moved along its axes in meters, its focal length scaled and its principal point moved in pixels.
        """
        moved = self.position + np.array([right, down, forward]) @ self.axes
        return replace(self, position=moved, focal=self.focal * focal, center=center)

    @property
    def heading(self) -> float:
        """Compass heading of the view (of the top of the image, looking straight down), degrees 0 to 360."""
        forward = self.axes[2] if abs(self.axes[2, 2]) < 0.99 else -self.axes[1]
        return float(np.degrees(np.arctan2(forward[0], forward[1])) % 360)

    @property
    def pitch(self) -> float:
        """How far the view points above the horizon, degrees; -90 looking straight down."""
        return float(np.degrees(np.arcsin(np.clip(self.axes[2, 2], -1, 1))))


def look(
    position: tuple[float, float, float] | np.ndarray,
    target: tuple[float, float, float] | np.ndarray,
    size: tuple[int, int],
    field_of_view: float,
) -> Camera:
    """Return a camera that looks from a position at a target, its horizon level.

    Args:
        position: meters.
        target: meters; not straight above or below (see :func:`nadir`).
        size: height and width in pixels.
        field_of_view: horizontal, degrees.
    """
    eye, at = np.asarray(position, np.float64), np.asarray(target, np.float64)
    forward = (at - eye) / np.linalg.norm(at - eye)
    right = np.cross(forward, (0, 0, 1))
    right = right / np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    return Camera(eye, axes, _focal(size[1], field_of_view), *size)


def nadir(
    position: tuple[float, float, float] | np.ndarray,
    heading: float,
    size: tuple[int, int],
    field_of_view: float,
) -> Camera:
    """Return a camera that looks straight down.

    The top of its image points to the compass heading (degrees).
    """
    angle = np.radians(heading)
    up = np.array([np.sin(angle), np.cos(angle), 0.0])
    axes = np.stack([np.cross((0, 0, -1), -up) * -1, -up, np.array([0, 0, -1.0])])
    axes[0] = np.cross(axes[1], axes[2])
    return Camera(np.asarray(position, np.float64), axes, _focal(size[1], field_of_view), *size)


def _focal(width: int, field_of_view: float) -> float:
    return width / 2 / float(np.tan(np.radians(field_of_view / 2)))


@dataclass(frozen=True)
class Route:
    """A way through the streets.

    Attributes:
        points: ``(n, 2)`` meters, half a meter apart.
    """

    points: np.ndarray

    @property
    def length(self) -> float:
        """Length in meters."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def at(self, distance: float) -> tuple[float, float, float]:
        """Return position (meters) and heading (radians) ``distance`` meters from the start.

        The heading is counterclockwise from east; beyond the end the route starts over.
        """
        steps = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(self.points, axis=0), axis=1))])
        distance = distance % steps[-1]
        x, y = (float(np.interp(distance, steps, self.points[:, i])) for i in (0, 1))
        ahead = [np.interp(min(distance + 2.5, steps[-1]), steps, self.points[:, i]) for i in (0, 1)]
        behind = [np.interp(max(distance - 1.5, 0), steps, self.points[:, i]) for i in (0, 1)]
        return x, y, float(np.arctan2(ahead[1] - behind[1], ahead[0] - behind[0]))


def plan_route(city: City, rng: np.random.Generator, crossroads: int = 12) -> Route:
    """Plan a random drive on the right-hand side that turns at crossroads and never turns back."""
    columns = [s for s in city.streets if not s.along_x]
    rows = [s for s in city.streets if s.along_x]
    node = np.array([rng.integers(1, len(columns) - 1), rng.integers(1, len(rows) - 1)])
    step = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)][rng.integers(4)])
    corners, previous = [_lane_point(columns, rows, node, step, step)], step
    for _ in range(crossroads):
        node = node + previous
        options = [
            turn
            for turn in ((1, 0), (-1, 0), (0, 1), (0, -1))
            if tuple(-previous) != turn
            and 0 <= node[0] + turn[0] < len(columns)
            and 0 <= node[1] + turn[1] < len(rows)
        ]
        step = np.array(options[rng.integers(len(options))])
        corners.append(_lane_point(columns, rows, node, previous, step))
        previous = step
    return Route(_rounded(np.array(corners)))


def _lane_point(
    columns: list[Street], rows: list[Street], node: np.ndarray, before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """Where the outer lane of one street meets that of the next."""
    x, y = columns[node[0]].center, rows[node[1]].center
    for step in (before, after):
        if step[0]:
            y = rows[node[1]].center - step[0] * rows[node[1]].lanes[-1]
        else:
            x = columns[node[0]].center + step[1] * columns[node[0]].lanes[-1]
    return np.array([x, y])


def _rounded(corners: np.ndarray, radius: float = 8.0, spacing: float = 0.5) -> np.ndarray:
    pieces = [corners[:1]]
    for before, corner, after in zip(corners[:-2], corners[1:-1], corners[2:], strict=True):
        into, out = corner - before, after - corner
        start = corner - into / np.linalg.norm(into) * radius
        end = corner + out / np.linalg.norm(out) * radius
        t = np.linspace(0, 1, 25)[:, None]
        pieces.append((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)
    path = np.concatenate([*pieces, corners[-1:]])
    distance = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    even = np.arange(0, distance[-1], spacing)
    return np.stack([np.interp(even, distance, path[:, i]) for i in (0, 1)], axis=1)


def drive(
    route: Route,
    distance: float,
    size: tuple[int, int],
    field_of_view: float = 62.0,
    height: float = 1.5,
    sway: float = 0.0,
) -> Camera:
    """Return the camera behind the windshield of a car that has driven ``distance`` meters.

    Args:
        route: where it drives.
        distance: meters from the start.
        size: height and width in pixels.
        field_of_view: horizontal, degrees.
        height: of the camera above the road, meters.
        sway: turns the view to the left, radians.
    """
    x, y, heading = route.at(distance)
    heading += sway
    eye = np.array([x, y, height])
    ahead = eye + np.array([np.cos(heading), np.sin(heading), -0.015])
    return look(eye, ahead, size, field_of_view)
