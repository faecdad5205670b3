import dataclasses

import numpy as np
import pytest

from crossband.simulation.materials import M
from crossband.simulation.meshes import Kind, Mesh, box
from crossband.simulation.presets import plan
from crossband.simulation.radiometry import brightness_temperature
from crossband.simulation.sensor import expose
from crossband.simulation.sky import Conditions
from crossband.simulation.vehicle_bodies import BODIES
from crossband.simulation.vehicles import draw_vehicle, vehicle_mesh

from .conftest import from_above, from_side, photograph, yard


def test_asphalt_in_the_shadow_of_a_house_is_cooler_at_noon():
    picture = photograph(yard(), from_above(), Conditions(11.0))
    road = picture.kind == Kind.ROAD
    shadow, lit = road & ~picture.lit, road & picture.lit
    assert shadow.sum() > 20
    assert lit.sum() > 500
    assert picture.temperature[shadow].mean() < picture.temperature[lit].mean() - 8


def test_the_house_wall_and_the_ground_beside_it_are_warmer_than_its_roof_at_four():
    above = photograph(yard(), from_above(), Conditions(4.0))
    side = photograph(yard(), from_side(), Conditions(4.0))
    roof = above.temperature[(above.kind == Kind.BUILDING)].mean()
    wall = side.temperature[side.kind == Kind.BUILDING].mean()
    ground = above.temperature[above.kind == Kind.ROAD]
    assert wall > roof + 1.5
    assert ground.mean() > roof + 1.5


def test_grass_is_brighter_than_asphalt_in_the_near_infrared_and_not_in_red():
    lawn = Mesh.make(box((12, -25, -0.5), (28, 25, 0.05)), M.GRASS, Kind.GRASS)
    picture = photograph(yard(lawn), from_above(), Conditions(12.0, "cloudy"))
    grass, road = picture.kind == Kind.GRASS, picture.kind == Kind.ROAD
    assert picture.nir[grass].mean() > 2 * picture.nir[road].mean()
    assert picture.rgb[grass, 0].mean() < picture.rgb[road, 0].mean()


def test_bare_metal_mirrors_the_cold_sky_and_paint_does_not():
    steel = Mesh.make(box((14, -20, 0), (34, 0, 0.5)), M.ROOF_METAL, Kind.FURNITURE)
    paint = Mesh.make(box((14, 0, 0), (34, 20, 0.5)), M.PAINTED_STEEL, Kind.VEHICLE)
    picture = photograph(yard(steel, paint), from_above(), Conditions(22.0))
    seen = brightness_temperature(picture.tir)
    metal, painted = picture.kind == Kind.FURNITURE, picture.kind == Kind.VEHICLE
    assert (picture.temperature[metal] - seen[metal]).mean() > 15
    assert (picture.temperature[painted] - seen[painted]).mean() < 5


def test_the_sky_is_cold_overhead_and_warm_at_the_horizon():
    picture = photograph(yard(), from_side(), Conditions(12.0))
    seen = brightness_temperature(picture.tir)
    sky = picture.kind == Kind.SKY
    rows = np.flatnonzero(sky.any(axis=1))
    assert seen[rows[0]][sky[rows[0]]].mean() < seen[rows[-1]][sky[rows[-1]]].mean() - 3


def test_label_edges_are_the_edges_of_every_band():
    plate = Mesh.make(box((-20, -20, 18), (20, 5, 18.2)), M.CLOTH, Kind.PERSON, color=(0.8, 0.8, 0.8), nir=0.8)
    plate = plate.having(heat=plate.heat + 40)
    picture = photograph(yard(plate), from_above((96, 72)), Conditions(12.0, "cloudy"))
    inside = picture.kind == Kind.PERSON
    assert 0.1 < inside.mean() < 0.6
    for band in (picture.rgb[..., 1], picture.nir, picture.tir):
        threshold = (np.median(band[inside]) + np.median(band[~inside])) / 2
        assert np.array_equal(band > threshold, inside)


@pytest.mark.parametrize("body", sorted(BODIES))
def test_a_running_engine_is_the_hottest_part_of_a_car(body):
    vehicle = dataclasses.replace(draw_vehicle(np.random.default_rng(3), 5), body=body, load="none")
    mesh = vehicle_mesh(vehicle, running=True)
    x = mesh.corners[..., 0].reshape(-1)[mesh.heat.reshape(-1).argmax()]
    assert abs(x - BODIES[body].engine * BODIES[body].length) < 0.16 * BODIES[body].length
    cold = vehicle_mesh(dataclasses.replace(vehicle, idle_hours=30.0), running=False)
    assert cold.heat.max() < 1 < 20 < mesh.heat.max()


@pytest.mark.slow
def test_a_running_car_glows_at_its_engine_in_the_picture(studio):
    shot = plan("vehicles", studio.city, 2, (48, 64), 1)[0]
    shot = dataclasses.replace(shot, conditions=Conditions(23.0))
    picture = studio.take(shot, samples=1).picture
    vehicle, _pose = shot.subject
    car = picture.instance == vehicle.number
    assert car.sum() > 200
    others = ~car & (picture.kind != Kind.VEHICLE)
    assert picture.temperature[car].max() > picture.temperature[others].max() + 8


@pytest.mark.slow
def test_a_black_night_blinds_rgb_and_not_thermal(studio):
    shot = plan("driving", studio.city, 10, (48, 64), 0)[7]
    assert shot.conditions.name == "night"
    lamps = studio.take(shot, samples=1).picture
    blackout = dataclasses.replace(shot, conditions=dataclasses.replace(shot.conditions, blackout=True))
    black = studio.take(blackout, samples=1).picture
    rng = np.random.default_rng(0)
    assert expose(black.rgb, rng).mean() / 255 < 0.05
    assert expose(lamps.rgb, rng).mean() > 2 * expose(black.rgb, rng).mean()
    assert black.tir.std() == pytest.approx(lamps.tir.std(), rel=0.05)


def test_fog_hides_the_distance_in_rgb_first():
    clear, fog = (photograph(yard(), from_side(), Conditions(12.0, name)) for name in ("clear", "fog"))
    house = clear.kind == Kind.BUILDING

    def kept(band):
        return getattr(fog, band)[house].std() / getattr(clear, band)[house].std()

    assert kept("nir") < 0.7
    assert fog.temperature[house].std() >= 0
    assert np.array_equal(clear.kind, fog.kind)
