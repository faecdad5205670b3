from __future__ import annotations

import pytest

pytest.importorskip("embreex", reason="the simulation's ray caster is an extra: crossband[simulation]")

from crossband.frames import Frames
from crossband.simulation import simulate
from crossband.simulation.cameras import Camera, look, nadir
from crossband.simulation.city import City, build_city
from crossband.simulation.materials import M
from crossband.simulation.meshes import Kind, Mesh, box, merge, rectangle
from crossband.simulation.raycast import Scene
from crossband.simulation.shade import Picture, render
from crossband.simulation.sky import Conditions
from crossband.simulation.studio import Studio
from crossband.simulation.textures import FacadeTable

SIZE = (48, 64)


@pytest.fixture(scope="session")
def city() -> City:
    return build_city(0)


@pytest.fixture(scope="session")
def studio(city: City) -> Studio:
    return Studio(city)


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Seven frames of the preset driving, five by day and two by night; not to be changed."""
    out = tmp_path_factory.mktemp("drive")
    return simulate("driving", 7, (32, 48), 0, out, workers=1, samples=1, eight_bit=True)


def yard(*more: Mesh) -> Scene:
    """Asphalt with a house of brick on it, 20 m by 20 m and 12 m high, its roof of gravel."""
    ground = Mesh.make(rectangle(-80, -80, 80, 80, 0), M.ASPHALT, Kind.ROAD)
    walls = Mesh.make(box((-10, -10, -1), (10, 10, 11.8)), M.BRICK, Kind.BUILDING)
    roof = Mesh.make(box((-10, -10, 11.8), (10, 10, 12)), M.ROOF_GRAVEL, Kind.BUILDING)
    return Scene(merge([ground, walls, roof, *more]), None, None)


def photograph(scene: Scene, camera: Camera, conditions: Conditions, samples: int = 1) -> Picture:
    return render(scene, camera, conditions, FacadeTable(()), [], first_moving=1_000_000, samples=samples)


def from_above(size: tuple[int, int] = SIZE, height: float = 60.0) -> Camera:
    return nadir((0.0, 0.0, height), 0.0, size, 60.0)


def from_side(size: tuple[int, int] = SIZE) -> Camera:
    return look((2.0, -40.0, 6.0), (0.0, 0.0, 5.0), size, 50.0)
