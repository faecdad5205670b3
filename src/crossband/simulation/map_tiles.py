"""The whole city from above: classes in tiles whose place on the Earth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image

from .city import City, geographic
from .meshes import Kind
from .raycast import Scene

__all__ = ["map_classes", "write_map"]

_ABOVE = 300.0


def map_classes(scene: Scene, low: tuple[float, float], high: tuple[float, float], meters: float) -> np.ndarray:
    """Rasterize the classes of a rectangle seen from above, north up; uint8 :class:`Kind`.

    Args:
        scene: the city without traffic.
        low, high: south-west and north-east corner, meters.
        meters: size of a pixel.
    """
    columns = np.arange(low[0] + meters / 2, high[0], meters)
    rows = np.arange(high[1] - meters / 2, low[1], -meters)
    x, y = np.meshgrid(columns, rows)
    origins = np.stack([x, y, np.full_like(x, _ABOVE)], axis=-1).reshape(-1, 3).astype(np.float32)
    down = np.broadcast_to(np.array([0, 0, -1], np.float32), origins.shape).copy()
    hits = scene.cast(origins, down)
    kind = scene.surfaces(hits, origins, down).kind
    return kind.reshape(len(rows), len(columns)).astype(np.uint8)


def write_map(city: City, out: Path, tile: float = 64.0, meters: float = 0.5) -> Path:
    """Write ``map/X_Y.png`` for every tile and ``map/tiles.json``, which says where each lies.

    Args:
        city: the city.
        out: the folder below which ``map`` is made.
        tile: side of a tile, meters.
        meters: size of a pixel.

    Returns:
        The path of ``tiles.json``.
    """
    folder = out / "map"
    folder.mkdir(parents=True, exist_ok=True)
    scene = Scene(city.mesh)
    tiles = []
    for row in range(int(np.ceil(city.extent[1] / tile))):
        for column in range(int(np.ceil(city.extent[0] / tile))):
            low = (column * tile, row * tile)
            high = (low[0] + tile, low[1] + tile)
            name = f"{column:02d}_{row:02d}.png"
            PIL.Image.fromarray(map_classes(scene, low, high, meters)).save(folder / name, compress_level=4)
            south, west = geographic(*low)
            north, east = geographic(*high)
            tiles.append(
                {
                    "file": name,
                    "x": low[0],
                    "y": low[1],
                    "south": float(south),
                    "west": float(west),
                    "north": float(north),
                    "east": float(east),
                }
            )
    index = {
        "meters_per_pixel": meters,
        "tile_meters": tile,
        "classes": {kind.name.lower(): int(kind) for kind in Kind},
        "tiles": tiles,
    }
    path = folder / "tiles.json"
    path.write_text(json.dumps(index, indent=1), encoding="utf-8")
    return path
