import numpy as np
import pytest

from crossband.simulation.cameras import drive, nadir, plan_route
from crossband.simulation.city import build_city, geographic
from crossband.simulation.map_tiles import map_classes
from crossband.simulation.meshes import Kind
from crossband.simulation.raycast import Scene
from crossband.simulation.traffic import fleet_vehicle, make_traffic


@pytest.mark.slow
def test_the_same_seed_is_the_same_city_and_another_is_not(city):
    again, other = build_city(0), build_city(1)
    assert np.array_equal(again.mesh.corners, city.mesh.corners)
    assert again.buildings == city.buildings
    assert other.extent != city.extent


def test_the_city_has_everything(city):
    kinds = {Kind(k) for k in np.unique(city.mesh.kind)}
    assert kinds >= {
        Kind.ROAD,
        Kind.PAVEMENT,
        Kind.GRASS,
        Kind.BUILDING,
        Kind.TREE,
        Kind.BICYCLE,
        Kind.CURB,
        Kind.CAR_STOP,
        Kind.GUARDRAIL,
        Kind.CONE,
        Kind.BUMP,
        Kind.FURNITURE,
    }
    assert len({b.style for b in city.buildings}) >= 3
    assert len({b.wall for b in city.buildings}) >= 3
    assert np.isfinite(city.mesh.corners).all()
    lengths = np.linalg.norm(city.mesh.normals, axis=-1)
    assert np.abs(lengths - 1).max() < 1e-3


@pytest.mark.slow
def test_a_vehicle_is_the_same_every_day_and_parks_elsewhere(city):
    assert fleet_vehicle(city, 7) == fleet_vehicle(city, 7)
    assert fleet_vehicle(city, 7).identity != fleet_vehicle(city, 8).identity
    first, second = make_traffic(city, 0), make_traffic(city, 1)
    common = set(first.vehicles) & set(second.vehicles)
    assert len(common) > 100
    where = [{a.number: a.pose(0.0)[:2] for a in day.actors if a.number in common} for day in (first, second)]
    assert np.mean([where[0][n] != where[1][n] for n in common]) > 0.9


def test_traffic_has_all_sorts_with_numbers_of_their_own(city):
    traffic = make_traffic(city, 0)
    numbers = [actor.number for actor in traffic.actors]
    assert len(numbers) == len(set(numbers))
    assert min(numbers) >= city.first_free
    assert any(a.running for a in traffic.actors)
    assert any(a.vehicle and not a.running for a in traffic.actors)


@pytest.mark.slow
def test_a_route_stays_on_the_road(city):
    route = plan_route(city, np.random.default_rng(0))
    scene = Scene(city.mesh)
    points = route.points[::20]
    above = np.column_stack([points, np.full(len(points), 3.0)]).astype(np.float32)
    down = np.tile(np.array([0, 0, -1], np.float32), (len(points), 1))
    kind = scene.surfaces(scene.cast(above, down), above, down).kind
    assert np.isin(kind, (Kind.ROAD, Kind.BUMP, Kind.CONE)).mean() > 0.97
    assert route.length > 200


def test_cameras_project_where_their_rays_go(city):
    for camera in (
        drive(plan_route(city, np.random.default_rng(0)), 30.0, (48, 64)),
        nadir((5, 6, 70), 30, (48, 64), 50),
    ):
        columns, rows = np.array([3.0, 60.0]), np.array([40.0, 7.5])
        points = camera.position + camera.directions(columns, rows) * 20
        x, y, depth = camera.project(points)
        assert np.allclose(x, columns, atol=1e-3)
        assert np.allclose(y, rows, atol=1e-3)
        assert np.all(depth > 0)
        assert np.linalg.det(camera.axes) > 0.999  # no mirror


def test_the_top_of_a_nadir_image_points_to_its_heading():
    camera = nadir((0, 0, 50), 90, (48, 64), 50)
    ahead = camera.position + camera.directions(np.array([32.0]), np.array([0.5]))[0] * 50
    assert ahead[0] > 5
    assert abs(ahead[1]) < 0.5
    right = camera.position + camera.directions(np.array([63.5]), np.array([24.0]))[0] * 50
    assert right[1] < -5


@pytest.mark.slow
def test_the_map_is_north_up_and_agrees_with_the_ground(city):
    x0, y0, _x1, _y1, _ = city.blocks[0]
    scene = Scene(city.mesh)
    classes = map_classes(scene, (x0 - 6, y0 - 6), (x0 + 6, y0 + 6), 0.5)
    assert classes.shape == (24, 24)
    assert classes[-2, 2] == Kind.ROAD  # south-west of the block's corner
    assert classes[2, -2] != Kind.ROAD
    north = geographic(0, 1000)[0] - geographic(0, 0)[0]
    assert np.isclose(north * 111.32, 1.0, rtol=1e-3)
