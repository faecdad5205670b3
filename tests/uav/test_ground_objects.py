from dataclasses import replace

import numpy as np
import pytest

from crossband.uav.ground_objects import join_objects
from crossband.uav.projection import Pose

CAMERA = Pose(0.0, 0.0, 60.0, 40.0, -60.0, 400.0, 256, 320)


def seen(places: np.ndarray, kinds: np.ndarray, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Boxes of 10 pixels about the objects that a camera sees, their middles a pixel off."""
    columns, rows = pose.to_pixels(*places.T)
    inside = (columns > 5) & (columns < 315) & (rows > 5) & (rows < 251)
    at = np.stack([columns, rows], 1)[inside] + rng.normal(0, 1, (int(inside.sum()), 2))
    return np.column_stack([at - 5, at + 5, rng.uniform(0.3, 1, len(at)), kinds[inside]])


@pytest.fixture
def flight() -> tuple[np.ndarray, np.ndarray, list[Pose], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(0, 80, 8.0), np.arange(0, 100, 8.0)), -1).reshape(-1, 2)
    places, kinds = grid + rng.uniform(-1, 1, grid.shape), rng.integers(0, 2, len(grid))
    poses = [CAMERA.moved(4.0 * step, 5.0 * step) for step in range(8)]
    return places, kinds, poses, [seen(places, kinds, pose, rng) for pose in poses]


def test_each_object_is_one_and_lies_where_it_stands(flight):
    places, kinds, poses, boxes = flight
    found = join_objects(boxes, poses)
    assert sum(len(one.seen) for one in found) == sum(len(frame) for frame in boxes)
    shown = np.zeros(len(places), bool)
    for one in found:
        nearest = np.hypot(*(places - (one.x, one.y)).T).argmin()
        assert not shown[nearest]
        shown[nearest] = True
        assert kinds[nearest] == one.kind
        off = places[nearest] - (one.x, one.y)
        assert off @ np.linalg.solve(one.covariance, off) < 13.8  # chi-squared, 99.9 %
    assert len(found) > 40
    assert [len(one.seen) for one in found] == sorted((len(one.seen) for one in found), reverse=True)


def test_an_error_of_the_whole_flight_moves_objects_and_says_so(flight):
    _, _, poses, boxes = flight
    moved = [pose.moved(pose.x + 12, pose.y - 9) for pose in poses]
    exact, wrong = join_objects(boxes, poses), join_objects(boxes, moved, [np.eye(2) * 144] * len(poses))
    assert [one.seen for one in wrong] == [one.seen for one in exact]
    for one, other in zip(exact, wrong, strict=True):
        assert (other.x - one.x, other.y - one.y) == pytest.approx((12, -9))
        np.testing.assert_allclose(other.covariance - one.covariance, np.eye(2) * 144, atol=1e-9)


def test_neighbors_of_unlike_classes_stay_apart_and_the_sky_is_no_ground():
    level = replace(CAMERA, pitch=0.0)
    boxes = np.array([[100, 100, 110, 110, 0.9, 0], [100, 100, 110, 110, 0.8, 1.0]])
    assert len(join_objects([boxes, boxes], [CAMERA, CAMERA])) == 2
    assert join_objects([np.array([[0, 0, 10, 10, 0.9, 0.0]])], [level]) == []
    assert join_objects([np.zeros((0, 6))], [CAMERA]) == []
