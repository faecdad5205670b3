import numpy as np
import pytest

from crossband.simulation.materials import M
from crossband.simulation.meshes import Kind, Mesh, box, merge
from crossband.simulation.raycast import Scene


@pytest.fixture(scope="module")
def parts() -> list[Mesh]:
    rng = np.random.default_rng(0)
    corners = [box(low, low + rng.uniform(0.5, 3, 3)) for low in rng.uniform(0, 20, (60, 3))]
    meshes = [Mesh.make(c, M.WOOD, Kind.BUILDING, color=rng.uniform(0, 1, 3)) for c in corners]
    return [merge(meshes[:30]), merge(meshes[30:45]), merge(meshes[45:])]


@pytest.fixture(scope="module")
def rays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    origins = rng.uniform(-2, 26, (4000, 3)).astype(np.float32)
    directions = rng.normal(size=(4000, 3)).astype(np.float32)
    return origins, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_layers_see_what_one_mesh_sees(parts, rays):
    layered, whole = Scene(*parts), Scene(merge(parts))
    hits, wanted = layered.cast(*rays), whole.cast(*rays)
    assert 0.2 < (wanted.triangle < 0).mean() < 0.9
    np.testing.assert_allclose(hits.distance, wanted.distance, rtol=1e-5)
    here, there = layered.surfaces(hits, *rays), whole.surfaces(wanted, *rays)
    same = hits.triangle == wanted.triangle  # at an edge either of two triangles is right
    assert same.mean() > 0.99
    for name in ("hit", "normal", "material", "color", "orientation"):
        np.testing.assert_array_equal(getattr(here, name)[same], getattr(there, name)[same])


@pytest.mark.parametrize("far", [3.0, 1e30])
def test_layers_block_what_one_mesh_blocks(parts, rays, far):
    found = Scene(*parts).blocked(*rays, far)
    np.testing.assert_array_equal(found, Scene(merge(parts)).blocked(*rays, far))
    lasting = Scene(*parts).blocked(*rays, far, lasting=True)
    np.testing.assert_array_equal(lasting, Scene(merge(parts[:2])).blocked(*rays, far))
