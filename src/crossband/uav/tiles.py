"""Tiles of a semantic map with their vectors, searched around a rough position, and kept in a gallery."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from ..errors import CrossbandError
from ..models.tile_distance import TileDistance
from ..progress import track
from .ground_classes import UNKNOWN
from .semantic_map import SemanticMap

__all__ = ["Found", "TileIndex", "tile_centers"]

_BATCH = 64


@dataclass(frozen=True)
class Found:
    """What a search around a rough position found.

    Attributes:
        positions: float64 ``(n, 2)``, meters, of the tiles' middles, nearest by distance first.
        distances: float64 ``(n,)``.
        confidence: how much farther the best tile is that shows another place, 0 (as near) to 1.
    """

    positions: np.ndarray
    distances: np.ndarray
    confidence: float


@dataclass(frozen=True)
class TileIndex:
    """Tiles and their vectors.

    Attributes:
        positions: float64 ``(n, 2)``, meters east and north of the map's corner, of the middles.
        vectors: float32 ``(n, D)``.
        side: meters of a tile.
    """

    positions: np.ndarray
    vectors: np.ndarray
    side: float

    @classmethod
    def build(
        cls, ground: SemanticMap, network: TileDistance, side: float, stride: float, device: str = "cpu"
    ) -> TileIndex:
        """Compute the vectors of all tiles of a map."""
        network.eval()
        positions = tile_centers(ground, stride)
        vectors = []
        with torch.inference_mode():
            starts = range(0, len(positions), _BATCH)
            for start in track(starts, len(starts), "tiles of the map", "batches"):
                tiles = [ground.patch(x, y, side, network.pixels) for x, y in positions[start : start + _BATCH]]
                vectors.append(network(torch.from_numpy(np.stack(tiles)).to(device)).cpu().numpy())
        return cls(positions, np.concatenate(vectors), side)

    def write(self, folder: str | Path, ground: SemanticMap) -> Path:
        """Write the tiles to a gallery; see :mod:`crossband.retrieval.gallery.lance`."""
        from ..retrieval.gallery.lance import METADATA, LanceStore, row_schema

        schema = row_schema(self.vectors.shape[1], "float32")
        n = len(self.positions)
        latitude, longitude = ground.to_geographic(*self.positions.T)
        names = [f"{x:.1f}_{y:.1f}" for x, y in self.positions]
        columns: dict[str, pa.Array] = {name: pa.nulls(n, kind) for name, kind in METADATA.items()}
        columns |= {name: pa.array(names) for name in ("key", "frame", "path")}
        columns["band"] = pa.array(["map"] * n)
        columns["digest"] = pa.array([hashlib.sha256(row.tobytes()).hexdigest() for row in self.vectors])
        for name, values in zip(
            ("x", "y", "lat", "lon"), (*self.positions.T, latitude, longitude), strict=True
        ):
            columns[name] = pa.array(values.astype(np.float64))
        flat = pa.array(self.vectors.reshape(-1).astype(np.float32))
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, self.vectors.shape[1])
        store = LanceStore(folder, schema)
        store.upsert(pa.table([columns[name] for name in schema.names], schema=schema))
        return Path(folder)

    @classmethod
    def read(cls, folder: str | Path, side: float) -> TileIndex:
        """Read the tiles of a gallery.

        Raises:
            CrossbandError: no gallery is there.
        """
        from ..retrieval.gallery.lance import LanceStore

        table = LanceStore(folder).read(["x", "y", "vector"])
        positions = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1)
        vectors = np.stack(table["vector"].to_pylist()).astype(np.float32)
        return cls(positions, vectors, side)

    def search(self, vector: np.ndarray, x: float, y: float, radius: float, prior: float = 0.0) -> Found:
        """Search the tiles within a radius of a rough position, nearest by learned distance first.

        Args:
            vector: of the labeling, ``(D,)``.
            x, y: the rough position, meters.
            radius: meters.
            prior: a tile at the radius counts as if its squared distance were this much larger, one halfway a
                quarter of that.

        Raises:
            CrossbandError: none is that near.
        """
        away = np.hypot(self.positions[:, 0] - x, self.positions[:, 1] - y)
        near = np.flatnonzero(away <= radius)
        if not len(near):
            raise CrossbandError(
                f"no tile of the map is within {radius:g} m of the rough position; raise the radius",
                parameter="radius",
            )
        squared = ((self.vectors[near].astype(np.float64) - vector) ** 2).sum(1)
        distances = np.sqrt(squared + prior * (away[near] / radius) ** 2)
        order = np.argsort(distances, kind="stable")
        positions, distances = self.positions[near[order]], distances[order]
        elsewhere = np.hypot(*(positions - positions[0]).T) >= self.side
        if not elsewhere.any():
            return Found(positions, distances, 1.0)
        other = float(distances[elsewhere].min())
        return Found(positions, distances, 1 - float(distances[0]) / other if other > 0 else 0.0)


def tile_centers(ground: SemanticMap, stride: float) -> np.ndarray:
    """Place tile centers a stride apart wherever the map is known, float64 ``(n, 2)`` meters.

    Raises:
        CrossbandError: the map is smaller than a stride.
    """
    width, height = ground.extent
    x, y = np.meshgrid(np.arange(stride / 2, width, stride), np.arange(stride / 2, height, stride))
    centers = np.stack([x.ravel(), y.ravel()], 1)
    known = ground.labels != UNKNOWN
    if not len(centers) or not known.any():
        raise CrossbandError(f"the map of {width:g} x {height:g} m has no tile at a stride of {stride:g} m")
    return centers
