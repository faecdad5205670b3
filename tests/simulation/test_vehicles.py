"""Makes and extras of the preset ``fleet``."""

import itertools

import numpy as np
import pytest

from crossband.simulation.presets import plan
from crossband.simulation.traffic import fleet_vehicle
from crossband.simulation.vehicle_bodies import BODIES, MAKES, make_of
from crossband.simulation.vehicle_extras import Extra, draw_extras, extra_parts
from crossband.simulation.vehicles import draw_single, draw_vehicle, vehicle_mesh

EXTRAS = {
    one.name for body in BODIES for seed in range(60) for one in draw_extras(body, np.random.default_rng(seed))
}


def extents(mesh):
    return np.ptp(mesh.corners.reshape(-1, 3), axis=0)


def single(body, seed):
    """A vehicle of a type, with what it has."""
    rng = np.random.default_rng(seed)
    while (vehicle := draw_vehicle(rng, 9)).body != body:
        pass
    return draw_single(vehicle, rng)


@pytest.mark.parametrize("body", sorted(BODIES))
def test_makes_of_a_type_differ_and_are_of_its_kind(body):
    makes = [make_of(body, number) for number in range(MAKES)]
    assert makes[0] == BODIES[body]
    for one, other in itertools.combinations(makes, 2):
        assert one != other
    for make in makes:
        assert make.length == pytest.approx(BODIES[body].length, rel=0.11)
        x, belt, top, width = np.array(make.stations).T
        assert (np.diff(x) > 0).all()
        assert (belt < top).all()
        assert top.max() <= 1
        assert (width <= 1).all()


@pytest.mark.parametrize("body", sorted(BODIES))
def test_a_single_vehicle_is_a_sound_mesh_with_its_extras_on_it(body):
    for seed in range(12):
        vehicle = single(body, seed)
        mesh = vehicle_mesh(vehicle, running=True)
        make = make_of(vehicle.body, vehicle.make)
        assert np.isfinite(mesh.corners).all()
        assert np.abs(np.linalg.norm(mesh.normals, axis=-1) - 1).max() < 1e-3
        assert (extents(mesh) < np.array([make.length + 0.8, make.width * 1.25, make.height + 0.6])).all()
        for extra in vehicle.extras:
            corners = np.concatenate([part.corners.reshape(-1, 3) for part in extra_parts((extra,), make)])
            assert (np.abs(corners[:, 0]) < make.length / 2 + 0.5).all(), extra
            assert (np.abs(corners[:, 1]) < make.width / 2 + 0.15).all(), extra
            assert (corners[:, 2] > 0.2).all(), extra
            assert (corners[:, 2] < make.height + 0.35).all(), extra


def test_every_extra_is_drawn_and_changes_the_vehicle():
    seeds = range(60)
    drawn = {
        one.name for body in BODIES for seed in seeds for one in draw_extras(body, np.random.default_rng(seed))
    }
    assert len(drawn) == 11
    for body in BODIES:
        for one in draw_extras(body, np.random.default_rng(2)):
            assert isinstance(one, Extra)
            assert extra_parts((one,), BODIES[body])


def test_the_fleet_is_the_vehicles_with_makes_and_extras(city):
    plain, fleet = (plan(preset, city, 80, (48, 96), 3) for preset in ("vehicles", "fleet"))
    assert [shot.identity for shot in plain] == [shot.identity for shot in fleet]
    assert [shot.conditions for shot in plain] == [shot.conditions for shot in fleet]
    assert {shot.subject[0].make for shot in plain} == {0}
    assert len({shot.subject[0].make for shot in fleet}) > 3
    by_identity = {}
    for shot in fleet:
        assert by_identity.setdefault(shot.identity, shot.subject[0]) == shot.subject[0]
    assert plain[0].subject[0] == fleet_vehicle(city, plain[0].subject[0].number - city.first_free)
