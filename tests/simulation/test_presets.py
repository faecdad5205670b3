import numpy as np
import pytest

from crossband.simulation.blocks import _PAVEMENT, _parking_rows, parking_aisles
from crossband.simulation.presets import PRESETS, _street_cameras, plan


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("frames", [1, 47])
def test_a_plan_has_as_many_shots_as_asked_with_names_of_their_own(city, name, frames):
    shots = plan(name, city, frames, (24, 32), 5)
    assert len({shot.frame for shot in shots}) == len(shots) == frames
    assert all(shot.split for shot in shots)


def test_a_plan_follows_from_its_seed(city):
    first, again, other = (plan("driving", city, 5, (24, 32), seed) for seed in (1, 1, 2))
    assert [s.conditions for s in first] == [s.conditions for s in again]
    assert np.array_equal(first[3].camera.position, again[3].camera.position)
    assert not np.array_equal(first[3].camera.position, other[3].camera.position)


def test_driving_is_by_day_and_by_night_in_all_splits(city):
    shots = plan("driving", city, 80, (24, 32), 0)
    night = np.mean([shot.conditions.name == "night" for shot in shots])
    assert night == pytest.approx(0.5, abs=0.05)
    shares = {name: np.mean([shot.split == name for shot in shots]) for name in ("train", "val", "test")}
    assert shares == pytest.approx({"train": 0.5, "val": 0.25, "test": 0.25}, abs=0.05)


def test_one_drive_in_five_goes_between_parking_spaces_and_hits_none(city):
    shots = plan("driving", city, 100, (24, 32), 0)
    lots = [block[:4] for block in city.blocks if block[4] == "parking"]
    spaces = np.array([(space.x, space.y) for space in city.spaces])

    def inside(shot):
        x, y = shot.camera.position[:2]
        return any(x0 < x < x1 and y0 < y < y1 for x0, y0, x1, y1 in lots)

    parked = [shot for shot in shots if inside(shot)]
    assert len({shot.sequence for shot in parked}) == len({shot.sequence for shot in shots}) / 5
    for shot in parked:
        apart = np.abs(spaces - shot.camera.position[:2])
        assert ((apart[:, 0] > 1.3) | (apart[:, 1] > 2.5)).all()


@pytest.mark.parametrize("depth", np.arange(30.0, 90.0, 0.7).round(1).tolist())
def test_between_parked_cars_and_cones_there_is_room_for_one_that_drives(depth):
    low, high = 100.0 + _PAVEMENT, 100.0 + depth - _PAVEMENT
    ends = [row + side * 5.4 for row in _parking_rows(low, high) for side in (-1, 1)]
    for y in parking_aisles(100.0, 100.0 + depth):
        assert low < y < high
        assert min(abs(y - end) for end in ends) > 1.2
        assert not any(row - 5.4 < y < row + 5.4 for row in _parking_rows(low, high))
        assert abs(y - (high - 5.0)) > 1.2


def test_retrieval_shows_places_twice_in_runs(city):
    shots = plan("retrieval", city, 80, (24, 32), 0)
    for place in {shot.place for shot in shots}:
        mine = [shot for shot in shots if shot.place == place]
        assert len({shot.sequence for shot in mine}) == 2
        assert len({shot.split for shot in mine}) == 1
        middles = np.array([shot.camera.position for shot in mine])
        assert np.ptp(middles, axis=0).max() < 15
    steps = np.linalg.norm(np.diff([s.camera.position for s in shots[:4]], axis=0), axis=1)
    assert steps == pytest.approx(2.0, abs=0.2)


@pytest.mark.slow
def test_street_cameras_share_no_view(city):
    spots = np.array([spot for _, spot, _ in _street_cameras(city)])
    apart = np.linalg.norm(spots[:, None] - spots[None], axis=2) + 1e3 * np.eye(len(spots))
    assert apart.min() > 20


@pytest.mark.slow
def test_each_vehicle_passes_several_cameras_and_identities_are_split(city):
    shots = plan("vehicles", city, 80, (24, 32), 0)
    split_of: dict[str, set[str]] = {}
    for shot in shots:
        split_of.setdefault(shot.identity, set()).add(shot.split)
    assert all(splits == {"train"} or splits <= {"query", "gallery"} for splits in split_of.values())
    for identity in split_of:
        assert len({shot.camera_name for shot in shots if shot.identity == identity}) >= 4
    assert {"BN", "LI"} <= {tag for shot in shots for tag in shot.tags}


def test_each_split_of_the_flights_has_days_and_nights(city):
    shots = plan("uav", city, 160, (24, 32), 0)
    seen = {(shot.split, shot.conditions.name == "night") for shot in shots}
    assert seen == {(split, night) for split in ("train", "val", "test") for night in (False, True)}


def test_a_flight_has_photographs_of_its_ground_by_day_and_every_season(city):
    shots = plan("flight", city, 192, (24, 32), 0)
    flights = {shot.sequence for shot in shots if shot.camera_name != "probe"}
    probes = [shot for shot in shots if shot.camera_name == "probe"]
    assert {f"probe{name[6:]}" for name in flights} == {shot.sequence for shot in probes}
    assert all(shot.conditions.name in ("day", "dusk") for shot in probes)
    assert {shot.conditions.weather for shot in shots} == {"clear", "cloudy", "frost", "heat"}
    assert {shot.conditions.name == "night" for shot in shots} == {True, False}
    heights = [float(shot.camera.position[2]) for shot in shots if shot.camera_name != "probe"]
    assert 40 <= min(heights) < 60 < 100 < max(heights) <= 120
    assert plan("flight", city, 5, (24, 32), 0)[4].camera.position.tolist() == shots[4].camera.position.tolist()
