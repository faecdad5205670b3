"""What the chain over a thermal flight has left in a folder, and the map below it."""

from __future__ import annotations

import functools
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from ..errors import CrossbandError
from ..files import read_json

__all__ = ["Ground", "flight_result", "read_ground"]

_LARGEST = 1 << 26
_POSITIONS = 20_000
_PICTURE = 1600
_COLORS = {
    "road": (122, 128, 138),
    "pavement": (186, 184, 176),
    "grass": (164, 190, 132),
    "building": (205, 160, 132),
    "tree": (96, 138, 98),
}
_NOWHERE = (232, 234, 236)


def flight_result(folder: Path) -> dict[str, Any]:
    """Read ``matches.json`` and ``positions.jsonl`` of a folder that the chain wrote.

    Raises:
        CrossbandError: the first is not there, or is none.
    """
    result = read_json(folder / "matches.json", _LARGEST)
    if not isinstance(result, dict) or not isinstance(result.get("matches"), list):
        raise CrossbandError("the flight's folder holds no result of the chain")
    return {**result, "positions": _positions(folder / "positions.jsonl")}


def _positions(path: Path) -> list[dict[str, Any]]:
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines()[:_POSITIONS]:
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and "frame" in one and "lat" in one:
            found.append({key: one.get(key) for key in ("frame", "lat", "lon", "x", "y", "confidence")})
    return found


class Ground:
    """A picture with the coordinates of its edges.

    Attributes:
        kind: ``semantic`` or ``picture``.
        south, west, north, east: degrees, or ``None`` where it has none.
        width, height: meters east and north.
        png: the picture, north up.
        legend: class -> color, of a semantic map.
    """

    def __init__(
        self,
        kind: str,
        corner: tuple[float, float],
        extent: tuple[float, float],
        far: tuple[float, float],
        pixels: np.ndarray,
        legend: dict[str, str],
    ) -> None:
        self.kind, (self.south, self.west), (self.north, self.east) = kind, corner, far
        (self.width, self.height), self.legend = extent, legend
        shown = PIL.Image.fromarray(pixels)
        shown.thumbnail((_PICTURE, _PICTURE), PIL.Image.Resampling.BILINEAR)
        buffer = BytesIO()
        shown.save(buffer, "PNG", optimize=True)
        self.png = buffer.getvalue()

    def told(self) -> dict[str, Any]:
        """Return all but the picture."""
        names = ("kind", "south", "west", "north", "east", "width", "height", "legend")
        return {name: getattr(self, name) for name in names}


@functools.lru_cache(2)
def read_ground(path: Path) -> Ground:
    """Read a semantic map, or a picture with a georeference.

    Raises:
        CrossbandError: it is neither.
    """
    if path.is_file() and path.suffix.lower() in (".tif", ".tiff") and (found := _picture(path)) is not None:
        return found
    from ..uav.ground_classes import GROUND
    from ..uav.semantic_map import read_map

    ground = read_map(path)
    table = np.full((256, 3), _NOWHERE, np.uint8)
    for number, name in enumerate(GROUND):
        table[number] = _COLORS[name]
    corner = (ground.latitude, ground.longitude)
    legend = {name: "#{:02x}{:02x}{:02x}".format(*_COLORS[name]) for name in GROUND}
    far = ground.to_geographic(*ground.extent)
    return Ground("semantic", corner, ground.extent, far, table[ground.labels], legend)


def _picture(path: Path) -> Ground | None:
    """A GeoTIFF of colors; ``None`` where it is of one channel, which is a map of labels."""
    try:
        import rasterio
        from rasterio.warp import transform_bounds
    except ImportError:
        raise CrossbandError("reading a GeoTIFF needs rasterio; pip install 'crossband[uav]'") from None
    try:
        with rasterio.open(path) as file:
            if file.count < 3 or file.crs is None:
                return None
            step = max(1, max(file.width, file.height) // _PICTURE)
            shape = (3, max(1, file.height // step), max(1, file.width // step))
            pixels = file.read([1, 2, 3], out_shape=shape)
            west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    except rasterio.errors.RasterioError as error:
        raise CrossbandError(f"the map cannot be read ({' '.join(str(error).split())[:80]})") from None
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, (1, 99))
        pixels = (255 * ((pixels - low) / max(high - low, 1e-9)).clip(0, 1)).astype(np.uint8)
    from ..geo import METERS_PER_DEGREE

    middle = np.cos(np.radians((south + north) / 2))
    extent = (float((east - west) * METERS_PER_DEGREE * middle), float((north - south) * METERS_PER_DEGREE))
    return Ground(
        "picture", (south, west), extent, (north, east), np.ascontiguousarray(pixels.transpose(1, 2, 0)), {}
    )
