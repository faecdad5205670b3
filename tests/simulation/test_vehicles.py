"""Makes and extras of the preset ``fleet``."""

import dataclasses
import itertools

import numpy as np
import pytest

from crossband.simulation.presets import plan
from crossband.simulation.traffic import fleet_vehicle
from crossband.simulation.vehicle_bodies import BODIES, MAKES, TAIL_LIGHTS, make_of
from crossband.simulation.vehicle_extras import draw_extras, extra_parts
from crossband.simulation.vehicles import draw_single, draw_vehicle, vehicle_mesh

EXTRAS = [
    *("sunroof", "spoiler", "roof bars", "bull bar", "side steps", "spare wheel", "light bar", "fan"),
    *("panel", "patch", "visor"),
]


def extents(mesh):
    return np.ptp(mesh.corners.reshape(-1, 3), axis=0)


def some_extras():
    """Types and what vehicles of them have, of 60 draws each."""
    sources = [(body, np.random.default_rng(seed)) for body in BODIES for seed in range(60)]
    return [(body, one) for body, rng in sources for one in draw_extras(body, "none", rng)]


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
        bare = vehicle_mesh(dataclasses.replace(vehicle, extras=()), running=True)
        parts = extra_parts(vehicle.extras, make)
        assert len(mesh) == len(bare) + sum(len(part) for part in parts)


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_lies_on_its_vehicle_and_faces_outward(name):
    drawn = [(body, one) for body, one in some_extras() if one.name == name]
    assert drawn
    for body, extra in drawn:
        make = make_of(body, int(extra.place[0] * MAKES))
        low, high = (
            np.array([-make.length / 2 - 0.5, -make.width / 2 - 0.15, 0.2]),
            [
                make.length / 2 + 0.5,
                make.width / 2 + 0.15,
                make.height + 0.35,
            ],
        )
        for part in extra_parts((extra,), make):
            corners = part.corners.reshape(-1, 3)
            assert (corners > low).all(), extra
            assert (corners < high).all(), extra
            across = np.cross(part.corners[:, 1] - part.corners[:, 0], part.corners[:, 2] - part.corners[:, 0])
            middle = corners.mean(0)
            volume = np.einsum("ij,ij->i", part.corners[:, 0] - middle, across).sum() / 6
            assert volume > 0, extra
            assert (np.einsum("ij,ij->i", across, part.normals.mean(1)) > 0).all(), extra


@pytest.mark.parametrize("name", ["panel", "patch"])
def test_what_is_on_the_sides_covers_neither_wheels_nor_glass(name):
    for body, extra in some_extras():
        make = make_of(body, int(extra.place[0] * MAKES))
        if extra.name != name or body == "truck":  # a truck's name is on its cargo
            continue
        for part in extra_parts((extra,), make):
            corners = part.corners.reshape(-1, 3)
            for axle in make.axles:
                apart = np.abs(corners[:, 0] - axle * make.length) - make.wheel
                assert (apart > 0).all(), (body, extra)
            assert corners[:, 2].max() < make.height * min(row[1] for row in make.stations[2:-2])


@pytest.mark.parametrize("load", ["roof box", "ladder"])
def test_a_load_on_the_roof_leaves_no_room_for_more(load):
    for seed in range(60):
        names = {one.name for one in draw_extras("van", load, np.random.default_rng(seed))}
        assert not names & {"sunroof", "roof bars", "light bar", "fan"}


@pytest.mark.parametrize("body", sorted(BODIES))
def test_tail_lights_of_makes_end_below_the_tails_edge(body):
    for number in range(MAKES):
        make = make_of(body, number)
        if body != "truck":  # its lights are on the cargo
            low = make.height * TAIL_LIGHTS[make.height > 2]
            assert low + make.tails[2] < make.stations[0][2] * make.height


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


def test_the_subject_of_a_portrait_is_not_in_its_traffic_too(studio):
    shots = plan("fleet", studio.city, 120, (48, 96), 3)
    for shot in shots[::4]:
        moving = studio._prepare(shot)
        assert [actor.vehicle for actor in moving if actor.number == shot.subject[0].number] == [
            shot.subject[0]
        ]
