"""The search for tiles around a rough position."""

import numpy as np

from crossband.uav.tiles import TileIndex


def index() -> TileIndex:
    positions = np.array([[0.0, 0.0], [30.0, 0.0], [60.0, 0.0], [200.0, 0.0]])
    vectors = np.eye(4, 8, dtype=np.float32)
    return TileIndex(positions, vectors, side=10.0)


def test_only_tiles_within_the_radius_are_found_nearest_by_the_learned_distance_first():
    asked = np.array([0.6, 0.0, 0.8, 0, 0, 0, 0, 0])
    found = index().search(asked, 0.0, 0.0, radius=60.0)
    assert found.positions[:, 0].tolist() == [60.0, 0.0, 30.0]
    np.testing.assert_allclose(found.distances[0] ** 2, 0.6**2 + 0.2**2)


def test_the_prior_adds_the_squared_share_of_the_radius():
    asked = np.array([0.6, 0.0, 0.8, 0, 0, 0, 0, 0])
    plain = index().search(asked, 0.0, 0.0, radius=60.0)
    weighed = index().search(asked, 0.0, 0.0, radius=60.0, prior=0.5)
    by_place = dict(zip(weighed.positions[:, 0], weighed.distances**2, strict=True))
    for x, squared in zip(plain.positions[:, 0], plain.distances**2, strict=True):
        np.testing.assert_allclose(by_place[x], squared + 0.5 * (x / 60) ** 2)
    assert weighed.positions[0, 0] == 0.0, "the nearer of two that look alike"
