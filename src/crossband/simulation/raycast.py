"""What every ray sees, by Embree: the one buffer that all bands are shaded from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import CrossbandError, MissingExtraError
from .cameras import Camera
from .energy import nearest_orientation
from .meshes import Mesh

__all__ = ["Hits", "Scene", "Surfaces", "camera_rays"]

_FAR = 1e30
_CLEARANCE = 0.01  # meters above a layer from where no rising ray can meet it
_ROTATED_GRID = {
    1: ((0.5, 0.5),),
    4: ((0.375, 0.125), (0.875, 0.375), (0.625, 0.875), (0.125, 0.625)),
}


@dataclass(frozen=True)
class Hits:
    """Where rays ended.

    Attributes:
        triangle: ``(n,)`` int32, -1 where the ray left the city; the actors' triangles follow the city's.
        distance: ``(n,)`` float32, meters.
        u, v: ``(n,)`` float32, barycentric coordinates of the second and third corner.
    """

    triangle: np.ndarray
    distance: np.ndarray
    u: np.ndarray
    v: np.ndarray


@dataclass
class Surfaces:
    """What the rays hit, one row per ray; the shader draws windows and textures into it.

    Attributes:
        hit: ``(n,)`` bool.
        position, normal: ``(n, 3)`` float32; the normal faces the viewer.
        orientation: ``(n,)`` uint8, the flat side's index into the table of surface temperatures.
        material, kind, instance: ``(n,)``.
        color: ``(n, 3)`` and ``nir``: ``(n,)``, reflectance.
        heat: ``(n,)`` kelvin.
        facade: ``(n,)`` bool.
    """

    hit: np.ndarray
    position: np.ndarray
    normal: np.ndarray
    orientation: np.ndarray
    material: np.ndarray
    kind: np.ndarray
    instance: np.ndarray
    color: np.ndarray
    nir: np.ndarray
    heat: np.ndarray
    facade: np.ndarray


class Scene:
    """Layers of triangles, ready for rays: the city, what is parked, what moves.

    Each layer has its own tree; replacing one leaves the others as they are. Triangles are numbered through
    all layers in order.
    """

    def __init__(self, *layers: Mesh | None) -> None:
        self._layers = [_layer(mesh) for mesh in layers]

    def replace(self, index: int, mesh: Mesh | None) -> None:
        """Put another mesh, or none, into a layer."""
        self._layers[index] = _layer(mesh)

    def corners(self, triangle: np.ndarray) -> np.ndarray:
        """Return corners of the triangles of :class:`Hits`, ``(n, 3, 3)``; zeros for -1."""
        return self._gatherer(triangle)("corners")

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Cast rays to the first triangle along each; ``(n, 3)`` float32 each."""
        best: Hits | None = None
        for first, layer in self._numbered():
            hits = layer.cast(origins, directions)
            if best is None:
                best = hits
                continue
            nearer = np.flatnonzero((hits.triangle >= 0) & (hits.distance < best.distance))
            best.triangle[nearer] = hits.triangle[nearer] + first
            for name in ("distance", "u", "v"):
                getattr(best, name)[nearer] = getattr(hits, name)[nearer]
        assert best is not None, "a scene has at least one layer"
        return best

    def blocked(
        self,
        origins: np.ndarray,
        directions: np.ndarray,
        far: float | np.ndarray = _FAR,
        *,
        lasting: bool = False,
    ) -> np.ndarray:
        """Return whether anything stands within ``far`` meters along each ray; ``(n,)`` bool.

        With ``lasting`` the last layer, of what moves, is left out.
        """
        blocked = np.zeros(len(origins), bool)
        reach = np.broadcast_to(np.asarray(far, np.float32), len(origins))
        for layer in self._layers[:-1] if lasting else self._layers:
            if layer is None:
                continue
            over = (origins[:, 2] > layer.top) & (directions[:, 2] >= 0)  # these leave it below them
            rows = np.flatnonzero(~(blocked | over))
            if len(rows) == len(origins):
                blocked = layer.blocked(origins, directions, np.array(reach))
            elif len(rows):
                blocked[rows] = layer.blocked(
                    origins.take(rows, axis=0), directions.take(rows, axis=0), reach.take(rows)
                )
        return blocked

    def surfaces(self, hits: Hits, origins: np.ndarray, directions: np.ndarray) -> Surfaces:
        """Return what the hits are: position, normal, material and the rest."""
        hit = hits.triangle >= 0
        weight = np.stack([1 - hits.u - hits.v, hits.u, hits.v], axis=1)
        gather = self._gatherer(hits.triangle)
        normal = np.einsum("nij,ni->nj", gather("normals"), weight)
        normal /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-6)[:, None]
        away = np.einsum("ij,ij->i", normal, directions) > 0
        normal[away] *= -1
        return Surfaces(
            hit=hit,
            position=origins + directions * np.where(hit, hits.distance, 0)[:, None],
            normal=normal,
            orientation=gather("orientation"),
            material=gather("material"),
            kind=gather("kind"),
            instance=gather("instance"),
            color=gather("color"),
            nir=gather("nir"),
            heat=np.einsum("ij,ij->i", gather("heat"), weight),
            facade=gather("facade"),
        )

    def _numbered(self) -> list[tuple[int, _Layer]]:
        """The layers that hold anything, each with the number of its first triangle."""
        out, first = [], 0
        for layer in self._layers:
            if layer is not None:
                out.append((first, layer))
                first += len(layer.mesh)
        return out

    def _gatherer(self, triangle: np.ndarray) -> Callable[[str], np.ndarray]:
        """A function from an array's name to its rows for triangles; zeros for -1.

        Most rays hit the first layer, the city, so it is read for all of them and the others overwrite it.
        """
        (_, city), *others = self._numbered()
        index = np.clip(triangle, 0, len(city.mesh) - 1)
        missed = np.flatnonzero(triangle < 0)
        inside = []
        for first, layer in others:
            rows = np.flatnonzero((triangle >= first) & (triangle < first + len(layer.mesh)))
            inside.append((layer, rows, triangle[rows] - first))

        def gather(name: str) -> np.ndarray:
            values = city.array(name).take(index, axis=0)
            values[missed] = 0
            for layer, rows, own in inside:
                values[rows] = layer.array(name)[own]
            return values

        return gather


def _layer(mesh: Mesh | None) -> _Layer | None:
    return _Layer(mesh) if mesh is not None and len(mesh) else None


class _Layer:
    """One mesh with its tree."""

    def __init__(self, mesh: Mesh) -> None:
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError:
            raise MissingExtraError(
                "the simulation casts its rays with Embree; pip install 'crossband[simulation]' installs it"
            ) from None
        self.mesh = mesh
        self.top = float(mesh.corners[..., 2].max()) + _CLEARANCE
        self.tree = EmbreeScene()
        TriangleMesh(self.tree, np.ascontiguousarray(mesh.corners, np.float32))
        flat = np.cross(mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0])
        mean = mesh.normals.mean(axis=1)
        flat *= np.sign((flat * mean).sum(axis=1, keepdims=True) + 1e-12)
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
        self.orientation = nearest_orientation(flat.astype(np.float32))

    def array(self, name: str) -> np.ndarray:
        return self.orientation if name == "orientation" else getattr(self.mesh, name)

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        out = self.tree.run(origins, directions, query="INTERSECT", output=1)
        return Hits(out["primID"], out["tfar"], out["u"], out["v"])

    def blocked(self, origins: np.ndarray, directions: np.ndarray, reach: np.ndarray) -> np.ndarray:
        return self.tree.run(origins, directions, reach, query="OCCLUDED") != -1


def camera_rays(camera: Camera, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return origins and directions ``(height * width * samples, 3)``, pixel by pixel, float32.

    Raises:
        CrossbandError: samples is not 1 or 4.
    """
    if samples not in _ROTATED_GRID:
        raise CrossbandError(f"samples must be 1 or 4 per pixel, not {samples}")
    offsets = np.array(_ROTATED_GRID[samples])
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width]
    directions = camera.directions(
        columns.reshape(-1, 1) + offsets[:, 0], rows.reshape(-1, 1) + offsets[:, 1]
    ).reshape(-1, 3)
    origins = np.broadcast_to(camera.position.astype(np.float32), directions.shape)
    return np.ascontiguousarray(origins), np.ascontiguousarray(directions)
