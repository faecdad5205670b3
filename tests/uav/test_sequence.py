import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.uav.likelihood import Likelihood, agreement
from crossband.uav.projection import Pose
from crossband.uav.semantic_map import SemanticMap
from crossband.uav.sequence import Motion, ground_motion, locate_sequence

from .conftest import LATITUDE, LONGITUDE, blocks, pose


def gaussian(x: float, y: float, deviation: float, corner: tuple[float, float] = (0.0, 0.0)) -> Likelihood:
    """A grid of 80 m whose likelihood is a Gaussian about a point."""
    columns, rows = corner[0] + np.arange(81.0), corner[1] + np.arange(81.0)
    squared = (columns[None] - x) ** 2 + (rows[:, None] - y) ** 2
    return Likelihood(*corner, 1.0, -squared / (2 * deviation**2))


def smoothed(measured: np.ndarray, deviation: float, moves: np.ndarray, drift: float) -> tuple[np.ndarray, ...]:
    """Kalman filter and Rauch-Tung-Striebel smoother along one axis, from the textbook."""
    means, variances, priors = [measured[0]], [deviation**2], [None]
    for value, move in zip(measured[1:], moves, strict=True):
        mean, variance = means[-1] + move, variances[-1] + drift**2
        gain = variance / (variance + deviation**2)
        priors.append((mean, variance))
        means.append(mean + gain * (value - mean))
        variances.append((1 - gain) * variance)
    for t in reversed(range(len(means) - 1)):
        mean, variance = priors[t + 1]
        gain = variances[t] / variance
        means[t] += gain * (means[t + 1] - mean)
        variances[t] += gain**2 * (variances[t + 1] - variance)
    return np.array(means), np.array(variances)


def test_gaussians_give_what_a_kalman_smoother_gives():
    rng = np.random.default_rng(0)
    truth = np.array([[30 + 5.3 * t, 35 + 2.6 * t] for t in range(6)])
    measured = truth + rng.normal(0, 3, truth.shape)
    moves = np.diff(truth, axis=0)
    seen = [gaussian(*at, 3.0, corner=(float(4 * t), float(2 * t))) for t, at in enumerate(measured)]
    found = locate_sequence(seen, [Motion(*move, 1.5) for move in moves])
    for axis in (0, 1):
        means, variances = smoothed(measured[:, axis], 3.0, moves[:, axis], 1.5)
        np.testing.assert_allclose([(f.x, f.y)[axis] for f in found], means, atol=0.12)
        np.testing.assert_allclose([f.covariance[axis, axis] for f in found], variances, rtol=0.25)


def test_one_frame_is_the_special_case():
    one = locate_sequence([gaussian(33.0, 41.0, 2.0)], [])[0]
    assert (round(one.x, 2), round(one.y, 2)) == (33.0, 41.0)
    np.testing.assert_allclose(one.covariance, np.eye(2) * 4, atol=0.3)
    assert one.confidence > 0.99


def test_ambiguous_frames_are_decided_by_their_motion():
    def twins(x: float) -> Likelihood:
        left, right = gaussian(x, 40, 1.5), gaussian(x + 30, 40, 1.5)
        return Likelihood(0, 0, 1.0, np.logaddexp(left.values, right.values))

    seen = [twins(20.0), gaussian(25.0, 40.0, 4.0), twins(30.0)]
    found = locate_sequence(seen, [Motion(5, 0, 1), Motion(5, 0, 1)])
    assert [round(one.x) for one in found] == [20, 25, 30]
    alone = locate_sequence([seen[0]], [])[0]
    assert alone.covariance[0, 0] > 100 > 20 > found[0].covariance[0, 0]
    assert alone.confidence < 0.6 < found[0].confidence


def test_what_cannot_be_is_refused():
    one = gaussian(3, 3, 1)
    with pytest.raises(CrossbandError, match="one motion fewer"):
        locate_sequence([one], [Motion(1, 1, 1)])
    with pytest.raises(CrossbandError, match="possible nowhere"):
        locate_sequence([Likelihood(0, 0, 1.0, np.full((3, 3), -np.inf))], [])
    with pytest.raises(CrossbandError, match="one step"):
        locate_sequence([one, Likelihood(0, 0, 2.0, one.values)], [Motion(1, 1, 1)])


@pytest.mark.parametrize("pitch", [-90.0, -50.0])
def test_agreement_is_what_counting_cell_by_cell_gives(pitch):
    ground = SemanticMap(blocks(), 1.0, LATITUDE, LONGITUDE)
    camera = Pose(80.0, 76.0, 40.0, 30.0, pitch, 60.0, 48, 64)
    seen = ground.seen_by(camera)
    found = agreement(seen, camera.moved(85.3, 71.2), ground, 14.0)
    row, column = np.unravel_index(found.values.argmax(), found.values.shape)
    x, y = found.positions
    assert np.hypot(x[column] - 80, y[row] - 76) <= 1.5
    assert np.isneginf(found.values[0, 0])
    shares = []  # of the frame that agrees with the map, at the best place and at some others
    for i, j in ((row, column), (row + 4, column), (row, column - 4)):
        view = ground.seen_by(camera.moved(float(x[j]), float(y[i])))
        shares.append((view == seen)[view != 255].mean())
    others = [found.values[row + 4, column], found.values[row, column - 4]]
    assert shares[0] > max(shares[1:])
    assert (shares[1] > shares[2]) == (others[0] > others[1])


def test_motion_is_seen_in_two_frames():
    rng = np.random.default_rng(0)
    ground = np.kron(rng.normal(size=(80, 80)), np.ones((4, 4)))

    def image(camera: Pose) -> np.ndarray:
        columns, rows = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
        x, y = camera.to_ground(columns, rows)
        return ground[np.clip(320 - y * 2, 0, 319).astype(int), np.clip(x * 2, 0, 319).astype(int)]

    first, second = pose(70, 70), pose(75, 73)
    found = ground_motion(image(first), first, image(second), second, Motion(3.0, 4.0, 3.0))
    assert np.hypot(found.east - 5, found.north - 3) < 0.7
    blank = np.zeros((48, 64))
    assert ground_motion(blank, first, blank, second, Motion(3.0, 4.0, 3.0)).deviation == 3.0
