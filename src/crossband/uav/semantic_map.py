"""A semantic map of the ground whose place on the Earth is known: the city's tiles, or any label raster.

Inside, a map is one north-up grid of :data:`~crossband.uav.ground_classes.GROUND` in a plane of its own:
meters east and north of its south-west corner, equirectangular about that corner's latitude (wrong by less than
1 in 10,000 within 5 km).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CrossbandError, MissingExtraError
from ..files import read_json
from ..geo import METERS_PER_DEGREE
from ..io import MAX_PIXELS, read_image
from ..io.tiff import is_tiff
from .ground_classes import GROUND, OBJECT, UNKNOWN, label_table
from .projection import Pose, sample
from .street_map import read_street_map

__all__ = ["SemanticMap", "read_map"]

_LARGEST_INDEX = 1 << 26  # bytes of tiles.json


@dataclass(frozen=True)
class SemanticMap:
    """A map.

    Attributes:
        labels: uint8 ``(H, W)``, north up: an index of ``GROUND``, or ``UNKNOWN``.
        meters: side of a pixel.
        latitude, longitude: of the south-west corner, degrees.
    """

    labels: np.ndarray
    meters: float
    latitude: float
    longitude: float

    @property
    def extent(self) -> tuple[float, float]:
        """Meters east and north."""
        return self.labels.shape[1] * self.meters, self.labels.shape[0] * self.meters

    def to_geographic(self, x: float, y: float) -> tuple[float, float]:
        """Convert meters east and north of the corner to latitude and longitude, degrees."""
        scale = METERS_PER_DEGREE * math.cos(math.radians(self.latitude))
        return self.latitude + y / METERS_PER_DEGREE, self.longitude + x / scale

    def to_meters(self, latitude: float, longitude: float) -> tuple[float, float]:
        """Convert latitude and longitude to meters east and north of the corner.

        Example:
            >>> here = SemanticMap(np.zeros((2, 2), np.uint8), 1.0, 48.7, 9.1)
            >>> [round(v, 6) for v in here.to_meters(*here.to_geographic(120.0, 80.0))]
            [120.0, 80.0]
        """
        scale = METERS_PER_DEGREE * math.cos(math.radians(self.latitude))
        return (longitude - self.longitude) * scale, (latitude - self.latitude) * METERS_PER_DEGREE

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return classes at points, meters; ``UNKNOWN`` off the map."""
        columns, rows = np.asarray(x) / self.meters, self.labels.shape[0] - np.asarray(y) / self.meters
        return sample(self.labels, columns, rows, UNKNOWN)

    def patch(self, x: float, y: float, meters: float, pixels: int) -> np.ndarray:
        """Return the tile around a point, north up, uint8 ``(pixels, pixels)``."""
        steps = (np.arange(pixels) + 0.5) / pixels * meters - meters / 2
        return self.at(*np.meshgrid(x + steps, y - steps))

    def seen_by(self, pose: Pose, step: int = 1) -> np.ndarray:
        """Render the labels that a camera would see of flat ground, uint8 ``(height, width)``.

        S_G of the paper.

        Args:
            pose: in this map's meters.
            step: pixels between two that are looked up.
        """
        columns, rows = np.arange(0, pose.width, step) + step / 2, np.arange(0, pose.height, step) + step / 2
        return self.at(*pose.to_ground(*np.meshgrid(columns, rows)))

    def check_near(self, x: float, y: float, radius: float) -> None:
        """Check that a rough position is on the map, or within the radius of it.

        Raises:
            CrossbandError: it is not.
        """
        width, height = self.extent
        if not (-radius <= x <= width + radius and -radius <= y <= height + radius):
            given, low, high = (
                self.to_geographic(x, y),
                (self.latitude, self.longitude),
                self.to_geographic(width, height),
            )
            raise CrossbandError(
                f"the rough position {given[0]:.6f}, {given[1]:.6f} is off the map, which reaches from "
                f"{low[0]:.6f}, {low[1]:.6f} to {high[0]:.6f}, {high[1]:.6f}; fix lat and lon, or give "
                f"another map",
                parameter="map",
            )


def read_map(path: str | Path, meters: float = 0.5) -> SemanticMap:
    """Read a map.

    Args:
        path: the city's folder ``map`` (or the one it lies in) with ``tiles.json``, or a georeferenced label
            raster such as GeoTIFF; or an extract of OpenStreetMap as GeoJSON or GeoPackage, see
            :mod:`.street_map`. What a raster's numbers mean is read from ``NAME.json`` beside it,
            ``{"road": 1, ...}``; without it, from the raster's own category names; else they are those of
            ``GROUND``.
        meters: side of a pixel of what a raster or an extract is brought to.

    Raises:
        CrossbandError: nothing of that kind is there, no georeference, no known class, or too large.
    """
    path = Path(path)
    for folder in (path, path / "map"):
        if (folder / "tiles.json").is_file():
            return _read_tiles(folder)
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in (".tif", ".tiff"))
        if len(found) == 1:
            return _read_raster(found[0], meters)
        raise CrossbandError(f"no map in {path}: tiles.json of crossband simulate, or one GeoTIFF, is expected")
    if not path.is_file():
        raise CrossbandError(
            f"no map at {path}; give a folder with tiles.json, a georeferenced label raster, or an extract of "
            "OpenStreetMap as GeoJSON or GeoPackage"
        )
    if path.suffix.lower() in (".geojson", ".json", ".gpkg"):
        labels, south, west = read_street_map(path, meters)
        return SemanticMap(labels, meters, south, west)
    return _read_raster(path, meters)


def _check_file(path: Path) -> None:
    """Refuse what would be waited for, a pipe say."""
    if not path.is_file():
        raise CrossbandError(f"no map at {path}: not a file")


def _read_tiles(folder: Path) -> SemanticMap:
    """The city's own form."""
    index = read_json(folder / "tiles.json", _LARGEST_INDEX)
    try:
        meters, side, tiles = float(index["meters_per_pixel"]), float(index["tile_meters"]), index["tiles"]
        table = _ground(label_table({str(k): int(v) for k, v in index["classes"].items()}))
        places = [(str(tile["file"]), float(tile["x"]), float(tile["y"])) for tile in tiles]
        corner = min(float(tile["south"]) for tile in tiles), min(float(tile["west"]) for tile in tiles)
        if not (1e-3 <= meters <= 1e4 and meters <= side <= 1e6 and places):
            raise ValueError(f"meters_per_pixel {meters:g} and tile_meters {side:g} make no tile")
        reach = max(max(abs(x), abs(y)) for _, x, y in places)
        if not (reach < 1e7 and abs(corner[0]) <= 90 and abs(corner[1]) <= 180):
            raise ValueError("a tile that is not on the earth")
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CrossbandError(
            f"{folder / 'tiles.json'} has no georeference of its tiles ({type(error).__name__}: {error}); "
            f"each needs "
            "file, x, y, south and west"
        ) from None
    pixels = round(side / meters)
    low = min(x for _, x, _ in places), min(y for _, _, y in places)
    columns = [round((x - low[0]) / side) for _, x, _ in places]
    rows = [round((y - low[1]) / side) for _, _, y in places]
    shape = (max(rows) + 1) * pixels, (max(columns) + 1) * pixels
    _check_size(folder, shape[1], shape[0])
    labels = np.full(shape, UNKNOWN, np.uint8)
    for (name, _, _), column, row in zip(places, columns, rows, strict=True):
        if Path(name).name != name:
            raise CrossbandError(f"{folder / 'tiles.json'}: tiles lie in its folder, {name!r} does not")
        tile = read_image(folder / name).pixels
        if tile.shape != (pixels, pixels) or tile.dtype != np.uint8:
            raise CrossbandError(f"{folder / name}: a tile is {pixels}x{pixels} pixels of 8 bits")
        top = shape[0] - (row + 1) * pixels
        labels[top : top + pixels, column * pixels : (column + 1) * pixels] = table[tile]
    return SemanticMap(labels, meters, *corner)


def _read_raster(path: Path, meters: float) -> SemanticMap:
    try:
        import rasterio
        from rasterio.warp import Resampling, reproject, transform_bounds
    except ModuleNotFoundError:
        raise MissingExtraError("a georeferenced raster needs rasterio; pip install 'crossband[uav]'") from None
    _check_file(path)
    try:
        with _quiet_open(rasterio, path) as raster:
            if raster.crs is None or raster.transform.is_identity:
                raise CrossbandError(
                    f"{path} has no georeference (coordinate system and transform); write one, with "
                    f"gdal_translate "
                    "-a_srs and -a_ullr say"
                )
            if not np.issubdtype(np.dtype(raster.dtypes[0]), np.integer):
                raise CrossbandError(
                    f"{path} holds {raster.dtypes[0]}, no labels; a label raster has whole dims"
                )
            try:
                west, south, east, north = transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
            except Exception:  # the engine's errors have classes that nothing exports
                west = south = east = north = math.nan
            if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):  # also where one is no number
                raise CrossbandError(f"{path} has a georeference that is not on the earth; write a real one")
            across = METERS_PER_DEGREE * math.cos(math.radians(south))
            width = math.ceil((east - west) * across / meters - 1e-6)
            height = math.ceil((north - south) * METERS_PER_DEGREE / meters - 1e-6)
            _check_size(path, width, height)
            _check_size(path, raster.width, raster.height)
            table = _ground(label_table(_raster_classes(path, raster)))
            source = raster.read(1)
            known = (source >= 0) & (source < 256)
            if raster.nodata is not None:
                known &= source != raster.nodata
            labels = np.where(known, table[np.where(known, source, 0)], UNKNOWN).astype(np.uint8)
            grid = rasterio.transform.from_origin(
                west, south + height * meters / METERS_PER_DEGREE, meters / across, meters / METERS_PER_DEGREE
            )
            out = np.full((height, width), UNKNOWN, np.uint8)
            reproject(
                labels,
                out,
                src_transform=raster.transform,
                src_crs=raster.crs,
                src_nodata=UNKNOWN,
                dst_transform=grid,
                dst_crs="EPSG:4326",
                dst_nodata=UNKNOWN,
                resampling=Resampling.nearest,
            )
    except (rasterio.errors.RasterioError, OSError, ValueError, ArithmeticError) as error:
        raise CrossbandError(
            f"{path} is not a georeferenced raster: {' '.join(str(error).split())[:120]}"
        ) from None
    if (out == UNKNOWN).all():
        raise CrossbandError(
            f"{path} has no known class; say what its values mean in "
            f"{path.with_suffix('.json').name}, as "
            f'in {{"{GROUND[0]}": 1, "{GROUND[3]}": 2}}'
        )
    return SemanticMap(out, meters, south, west)


def _quiet_open(rasterio: Any, path: Path) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        # what looks like one file may be a recipe for others (VRT, ...), local or on the network: GeoTIFF
        # alone, told by its first bytes, and nothing beside it is opened
        with open(path, "rb") as file:
            if not is_tiff(file.read(4)):
                raise CrossbandError(f"{path} is no GeoTIFF; a map is one, or a folder with tiles.json")
        settings = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
        with rasterio.Env(**settings):
            return rasterio.open(path, driver="GTiff")


def _raster_classes(path: Path, raster: Any) -> Mapping[str, int]:
    beside = path.with_suffix(".json")
    if beside.is_file():
        try:
            return {str(name): int(number) for name, number in read_json(beside, _LARGEST_INDEX).items()}
        except (ValueError, AttributeError, TypeError, ArithmeticError):
            raise CrossbandError(f'{beside} is no mapping of classes to numbers, as in {{"road": 1}}') from None
    named = {name: int(number) for number, name in raster.tags(1).items() if number.isdigit()}
    return named or {name: number for number, name in enumerate(GROUND)}


def _ground(table: np.ndarray) -> np.ndarray:
    """What stands on the ground is on no map."""
    return np.where(table == OBJECT, UNKNOWN, table).astype(np.uint8)


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS or width < 1 or height < 1:
        raise CrossbandError(
            f"{path}: a map of {width}x{height} pixels exceeds {MAX_PIXELS}; crop it to the area flown over"
        )
