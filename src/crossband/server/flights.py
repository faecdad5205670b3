"""What the chain over a thermal flight has left in a folder, and the map below it."""

from __future__ import annotations

import functools
import json
import math
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from ..errors import CrossbandError, MissingExtraError
from ..files import read_json
from ..geo import METERS_PER_DEGREE

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
_KNOWN = 0.5  # a raster with less of known classes is a gray picture, not a map of classes


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
    """Read a semantic map, or a picture with a georeference: a GeoTIFF that is no map of known classes.

    Raises:
        CrossbandError: it is neither.
    """
    try:
        if (found := _picture(path, colors=True)) is not None:
            return found
        try:
            ground, known = _semantic(path)
        except CrossbandError:
            if (found := _picture(path, colors=False)) is not None:
                return found
            raise
        return ground if known > _KNOWN else _picture(path, colors=False) or ground
    except CrossbandError as error:  # whoever asks is not told where files lie
        raise CrossbandError(str(error).replace(str(path), path.name), parameter="map") from None


def _semantic(path: Path) -> tuple[Ground, float]:
    """A map of classes, and which share of it has one that is known."""
    from ..uav.ground_classes import GROUND, UNKNOWN
    from ..uav.semantic_map import read_map

    ground = read_map(path)
    table = np.full((256, 3), _NOWHERE, np.uint8)
    for number, name in enumerate(GROUND):
        table[number] = _COLORS[name]
    corner = (ground.latitude, ground.longitude)
    legend = {name: "#{:02x}{:02x}{:02x}".format(*_COLORS[name]) for name in GROUND}
    far = ground.to_geographic(*ground.extent)
    known = float((ground.labels != UNKNOWN).mean())
    return Ground("semantic", corner, ground.extent, far, table[ground.labels], legend), known


def _picture(path: Path, colors: bool) -> Ground | None:
    """A GeoTIFF of colors, or of grays, laid north up; ``None`` where the file is none."""
    if not path.is_file() or path.suffix.lower() not in (".tif", ".tiff"):
        return None
    try:
        import rasterio
        from rasterio.vrt import WarpedVRT
    except ImportError:
        raise MissingExtraError("reading a GeoTIFF needs rasterio; pip install 'crossband[uav]'") from None
    try:
        with warnings.catch_warnings(action="ignore"), rasterio.open(path, driver="GTiff") as file:
            if file.crs is None or (file.count >= 3) != colors:
                return None
            with WarpedVRT(file, crs="EPSG:4326", resampling=rasterio.enums.Resampling.bilinear) as flat:
                step = max(1.0, max(flat.width, flat.height) / _PICTURE)
                size = (max(1, round(flat.height / step)), max(1, round(flat.width / step)))
                channels = [1, 2, 3] if colors else [1, 1, 1]
                pixels = flat.read(channels, out_shape=(3, *size)).transpose(1, 2, 0)
                known = flat.dataset_mask(out_shape=size) > 0
                west, south, east, north = flat.bounds
    except rasterio.errors.RasterioError as error:
        reason = " ".join(str(error).split())[:80]
        raise CrossbandError(f"the map cannot be read ({reason})", parameter="map") from None
    shown = np.where(known[..., None], _eight_bits(pixels, known), np.array(_NOWHERE, np.uint8)).astype(
        np.uint8
    )
    across = METERS_PER_DEGREE * math.cos(math.radians(south))
    extent = ((east - west) * across, (north - south) * METERS_PER_DEGREE)
    return Ground("picture", (south, west), extent, (north, east), shown, {})


def _eight_bits(pixels: np.ndarray, known: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    values = pixels[known & np.isfinite(pixels).all(-1)].astype(np.float64)
    low, high = np.percentile(values, (1, 99)) if values.size else (0.0, 1.0)
    scaled = (np.nan_to_num(pixels.astype(np.float64)) - low) / max(high - low, 1e-9)
    return (255 * scaled.clip(0, 1)).astype(np.uint8)
