import json

import numpy as np
import pytest
import torch

from crossband.bands import to_kelvin
from crossband.data.scenes import KELVIN_A_UNIT
from crossband.errors import CrossbandError
from crossband.uav import object_stage
from crossband.uav.attitude import Attitude, attitude_rows, estimate_attitude, remaining_error
from crossband.uav.flight import open_flight, with_rough_positions
from crossband.uav.likelihood import Agreement, Likelihood, agreement
from crossband.uav.networks import Labeler
from crossband.uav.position_evaluation import measure_positions
from crossband.uav.projection import Pose
from crossband.uav.semantic_map import SemanticMap, read_map
from crossband.uav.sequence import Motion, ground_motion, locate_sequence
from crossband.uav.sequence_stage import locate_flight
from crossband.uav.stages import Position

from .conftest import KELVIN, LATITUDE, LONGITUDE, blocks, pose


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
        np.testing.assert_allclose([f.covariance[axis, axis] for f in found], variances + 1, rtol=0.2)


def test_one_frame_is_the_special_case():
    one = locate_sequence([gaussian(33.0, 41.0, 2.0)], [])[0]
    assert (round(one.x, 2), round(one.y, 2)) == (33.0, 41.0)
    np.testing.assert_allclose(one.covariance, np.eye(2) * 5, atol=0.3)
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


class ByHeat(torch.nn.Module):
    """Labels each pixel by the temperature nearest to it: what the small world's labels are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = torch.nn.Parameter(torch.tensor(KELVIN, dtype=torch.float32))

    def label(self, images: torch.Tensor) -> torch.Tensor:
        return (images[:, 0, ..., None] * KELVIN_A_UNIT - self.levels).abs().argmin(-1)


@pytest.fixture
def by_heat(monkeypatch: pytest.MonkeyPatch) -> Labeler:
    def scaled(pixels: np.ndarray, units: object) -> torch.Tensor:
        return torch.from_numpy(to_kelvin(pixels, "centikelvin"))[None] / KELVIN_A_UNIT

    monkeypatch.setattr("crossband.uav.stages.thermal_input", scaled)
    return Labeler(ByHeat(), "tir", 1.0, "by heat")  # type: ignore[arg-type]


def test_a_flight_is_located_together_and_resumed(world, by_heat, tmp_path):
    ground, flight = read_map(world / "world"), open_flight(world / "world")
    wrong = with_rough_positions(flight, ground, 12.0)
    found = locate_flight(wrong, ground, by_heat, tmp_path, 20.0)
    true = [
        ground.to_meters(*flight.table[["lat", "lon"]].iloc[row].astype(float)) for row in range(len(flight))
    ]
    given = [ground.to_meters(one.rough_lat, one.rough_lon) for one in found]
    errors = np.hypot(*(np.array([(one.x, one.y) for one in found]) - true).T)
    assert np.median(np.hypot(*(np.array(given) - true).T)) > 4
    assert errors.max() < 2.0
    assert all(one.covariance is not None and one.covariance[0] > 0 for one in found)
    written = (tmp_path / "positions.jsonl").read_bytes()
    lines = (tmp_path / "ground.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "ground.jsonl").write_text("".join(lines[:3]) + lines[3][:9])
    (tmp_path / "positions.jsonl").write_bytes(written[: len(written) // 2])
    assert locate_flight(wrong, ground, by_heat, tmp_path, 20.0) == found
    assert (tmp_path / "positions.jsonl").read_bytes() == written


def test_a_rough_position_off_the_map_is_named_before_labeling(world, by_heat, tmp_path):
    ground, flight = read_map(world / "world"), open_flight(world / "world")
    flight.table.loc[4, "lat"] = 48.9
    with pytest.raises(CrossbandError, match=r"48\.9"):
        locate_flight(flight, ground, by_heat, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_flights_are_measured_alone_and_together():
    ground = SemanticMap(blocks(), 1.0, LATITUDE, LONGITUDE)
    cameras = [pose(60.0 + 6 * step, 70.0 + 3 * step) for step in range(4)]
    flight = [(one, ground.seen_by(one), KELVIN[ground.seen_by(one) % 5]) for one in cameras]
    found = measure_positions(
        ground, [flight, flight[::-1]], rough=15.0, drift=1.0, how=Agreement(independent=20)
    )
    assert found["rough"]["median_m"] > 3 > found["sequence"]["median_m"]
    assert found["sequence"]["p90_m"] <= found["single"]["p90_m"] + 0.5
    low, high = found["sequence"]["median_ci95"]
    assert low <= found["sequence"]["median_m"] <= high
    assert (found["n_flights"], found["n_frames"]) == (2, 8)


@pytest.mark.parametrize(("turn", "scale"), [(0.0, 1.0), (9.0, 1.0), (-6.0, 0.93), (3.0, 1.09)])
def test_what_is_wrong_with_headings_and_altitudes_is_found_and_corrected(turn, scale):
    ground = SemanticMap(blocks(), 1.0, LATITUDE, LONGITUDE)
    width, height = ground.extent
    true = [Pose(0.4 * width + 6 * step, 0.5 * height, 40, 30, -90, 60, 48, 64) for step in range(5)]
    told = [one.moved(one.x + 8, one.y - 5).turned(-turn, 1 / scale) for one in true]
    rows = attitude_rows(range(5))
    rng = np.random.default_rng(0)
    labels = [ground.seen_by(true[i]) for i in rows]
    wrong = [np.kron(rng.random((12, 16)) < 0.25, np.ones((4, 4))) > 0 for _ in rows]  # as a network is
    seen = [np.where(w, (one + 1) % 5, one).astype(np.uint8) for w, one in zip(wrong, labels, strict=True)]
    found = estimate_attitude(seen, [told[i] for i in rows], ground, 20.0)
    assert found.turn == pytest.approx(turn, abs=2)
    assert found.scale == pytest.approx(scale, abs=0.05)
    corrected = found.correct(told[0])
    assert corrected.heading == pytest.approx(true[0].heading, abs=2)


def test_a_sequence_of_two_frames_is_believed():
    ground = SemanticMap(blocks(), 1.0, LATITUDE, LONGITUDE)
    assert attitude_rows(range(2)) == []
    assert estimate_attitude([], [], ground, 20.0) == Attitude(0.0, 1.0)


@pytest.mark.parametrize("heading", [0.0, 70.0, 225.0])
def test_what_is_left_wrong_moves_an_oblique_frame_along_its_view_and_one_straight_down_not_at_all(heading):
    down = Pose(10, 20, 80, heading, -90, 300, 256, 320)
    np.testing.assert_allclose(remaining_error(down), 0, atol=1e-9)
    oblique = Pose(10, 20, 80, heading, -45, 300, 256, 320)
    rng = np.random.default_rng(0)
    shown = np.array(oblique.looks_at)
    moved = []  # the same ground in the middle, from another height and with another heading
    for turn, share in rng.normal(0, (np.degrees(0.02), 0.05), (2000, 2)):
        other = oblique.turned(turn, 1 + share)
        moved.append(shown - other.looks_at)
    expected = np.cov(np.array(moved).T)
    np.testing.assert_allclose(remaining_error(oblique), expected, atol=0.06 * np.trace(expected))


def test_objects_are_not_less_sure_for_what_moves_the_aircraft_and_them_alike():
    oblique = Pose(10, 20, 80, 70, -45, 300, 256, 320)
    wide = np.diag([2.0, 3.0]) + remaining_error(oblique)
    (east, between), (_, north) = wide.tolist()
    told = Position("a", 0.0, 0.0, 10.0, 20.0, 1.0, 0.0, 0.0, covariance=[east, between, north])
    np.testing.assert_allclose(object_stage._error(told, oblique), np.diag([2.0, 3.0]), atol=1e-9)


@pytest.mark.parametrize("radius", [0.5, 1.0])
def test_a_radius_below_the_grids_step_finds_nothing_wrong(radius):
    ground = SemanticMap(blocks(), 1.0, LATITUDE, LONGITUDE)
    true = [pose(70.0 + 6 * step, 70.0) for step in range(4)]
    found = estimate_attitude([ground.seen_by(one) for one in true], true, ground, radius)
    assert abs(found.turn) <= 2
    assert abs(found.scale - 1) <= 0.08


def test_a_corrected_position_turns_and_scales_the_pose_that_was_given():
    given = pose(10.0, 20.0, heading=355.0)
    corrected = Position("a", 0.0, 0.0, 12.0, 25.0, 1.0, 0.0, 0.0, turn=8.0, scale=1.1).pose(given)
    assert (corrected.x, corrected.y) == (12.0, 25.0)
    assert corrected.heading == pytest.approx(3.0)
    assert corrected.altitude == pytest.approx(44.0)


def test_a_compass_that_is_off_is_corrected_in_the_file_and_reported(world, by_heat, tmp_path, capsys):
    ground, flight = read_map(world / "world"), open_flight(world / "world")
    flight.table["heading"] = flight.table["heading"].astype(float) - 9
    found = locate_flight(flight, ground, by_heat, tmp_path, 20.0)
    assert all(6 <= one.turn <= 12 for one in found)
    assert [one.turn for one in found] == [
        json.loads(line)["turn"] for line in (tmp_path / "positions.jsonl").read_text().splitlines()[1:]
    ]
    said = capsys.readouterr().err
    assert "headings are corrected by +" in said
    assert "of this town" not in said


def test_a_correction_at_the_end_of_what_is_searched_asks_for_the_map(world, by_heat, tmp_path, capsys):
    ground, flight = read_map(world / "world"), open_flight(world / "world")
    flight.table["heading"] = flight.table["heading"].astype(float) - 18
    found = locate_flight(flight, ground, by_heat, tmp_path, 20.0)
    assert max(one.turn for one in found) == 15.0
    assert "no more is searched: is it the map of this town?" in capsys.readouterr().err
