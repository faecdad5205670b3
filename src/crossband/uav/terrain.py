"""How high the ground is: an elevation raster beside a flight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import CrossbandError, MissingExtraError
from ..geo import METERS_PER_DEGREE
from ..io import MAX_PIXELS
from ..io.tiff import is_tiff

__all__ = ["Terrain", "above_ground", "read_terrain"]


@dataclass(frozen=True)
class Terrain:
    """An elevation raster, north up in degrees.

    Attributes:
        heights: float32 ``(H, W)``, meters; NaN where unknown.
        west, north: of the north-west corner, degrees.
        step: degrees of a pixel, of (longitude, latitude).
    """

    heights: np.ndarray
    west: float
    north: float
    step: tuple[float, float]

    def at(self, latitude: float, longitude: float) -> float:
        """Return the height of a place, meters; NaN where it is unknown or beyond the raster.

        Example:
            >>> Terrain(np.full((2, 2), 40, np.float32), 9.0, 49.0, (0.01, 0.01)).at(48.99, 9.01)
            40.0
        """
        column = (longitude - self.west) / self.step[0] - 0.5
        row = (self.north - latitude) / self.step[1] - 0.5
        height, width = self.heights.shape
        if not (-0.5 <= column <= width - 0.5 and -0.5 <= row <= height - 0.5):
            return math.nan
        column, row = min(max(column, 0.0), width - 1.0), min(max(row, 0.0), height - 1.0)
        left, top = min(int(column), max(width - 2, 0)), min(int(row), max(height - 2, 0))
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        x, y = column - left, row - top
        upper = (1 - x) * self.heights[top, left] + x * self.heights[top, right]
        lower = (1 - x) * self.heights[bottom, left] + x * self.heights[bottom, right]
        return float((1 - y) * upper + y * lower)


def read_terrain(path: str | Path) -> Terrain:
    """Read an elevation raster, a GeoTIFF of meters.

    Raises:
        CrossbandError: missing, no GeoTIFF, no georeference, or too large.
    """
    path = Path(path)
    try:
        import rasterio
        from rasterio.vrt import WarpedVRT
    except ModuleNotFoundError:
        raise MissingExtraError("an elevation raster needs rasterio; pip install 'crossband[uav]'") from None
    if not path.is_file():
        raise CrossbandError(f"no elevation raster at {path}", parameter="terrain")
    with open(path, "rb") as file:
        if not is_tiff(file.read(4)):
            raise CrossbandError(f"{path} is no GeoTIFF of elevations", parameter="terrain")
    try:
        with rasterio.open(path, driver="GTiff") as raster:
            if raster.crs is None or raster.transform.is_identity:
                raise CrossbandError(f"{path} has no georeference", parameter="terrain")
            with WarpedVRT(raster, crs="EPSG:4326", resampling=rasterio.enums.Resampling.bilinear) as flat:
                if flat.width * flat.height > MAX_PIXELS:
                    raise CrossbandError(f"{path} is too large; crop it to the flight", parameter="terrain")
                heights = flat.read(1, masked=True).astype(np.float32).filled(np.nan)
                place = flat.transform
    except (rasterio.errors.RasterioError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CrossbandError(f"{path} is no elevation raster: {reason}", parameter="terrain") from None
    return Terrain(heights, place.c, place.f, (place.a, -place.e))


def above_ground(table: pd.DataFrame, terrain: Terrain, source: Path) -> pd.DataFrame:
    """Turn altitudes above take-off into those above the ground that each frame looks at.

    The height of take-off is that of the ground below the lowest frame.

    Args:
        table: of a flight.
        terrain: around it.
        source: what the frames are of.

    Raises:
        CrossbandError: the raster does not cover the flight.
    """
    low = table.iloc[int(table["altitude"].to_numpy(float).argmin())]
    start = terrain.at(float(low["lat"]), float(low["lon"]))
    altitudes = []
    for _, row in table.iterrows():
        own, high = float(row["altitude"]), float(row["altitude"])
        for _ in range(4):  # where it looks depends on how high it is
            height = terrain.at(*_looks_at(row, high))
            high = max(own + start - height, 1.0)
        altitudes.append(high)
    if not np.isfinite(altitudes).all():
        raise CrossbandError(
            f"the elevation raster does not cover the flight {source}; give a larger one", parameter="terrain"
        )
    return table.assign(altitude=altitudes)


def _looks_at(row: pd.Series, altitude: float) -> tuple[float, float]:
    """Latitude and longitude of the ground in the middle of a frame's view."""
    pitch = math.radians(min(float(row["pitch"]), -15.0))
    reach, heading = altitude / math.tan(-pitch), math.radians(float(row["heading"]))
    latitude = float(row["lat"])
    scale = METERS_PER_DEGREE * math.cos(math.radians(latitude))
    return (
        latitude + reach * math.cos(heading) / METERS_PER_DEGREE,
        float(row["lon"]) + reach * math.sin(heading) / scale,
    )
