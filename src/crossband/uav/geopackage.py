"""OpenStreetMap's features in a GeoPackage, as GDAL's OSM driver, QGIS or Geofabrik write them.

==================================  =====================================================================
columns named by tags                ``building``, ``highway``, ... and ``other_tags``, an hstore
layers ``gis_osm_*_free``            Geofabrik's: the layer says the tag, the column ``fclass`` its value
==================================  =====================================================================

A file may come from anybody: it is read only where its tables hold what is read, and only so much of it.
"""

from __future__ import annotations

import re
import sqlite3
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import numpy as np

from ..errors import CrossbandError, need_package

__all__ = ["read_features"]

_LARGEST = 1 << 29  # bytes of a file
_MOST_LAYERS = 256
_MOST_FEATURES = 1_000_000
_MOST_PLACES = 20_000_000  # corners of what is drawn
_TAGS = (
    "building",
    "highway",
    "area:highway",
    "amenity",
    "place",
    "landuse",
    "natural",
    "leisure",
    "landcover",
)
_COLUMNS = (*_TAGS, "width", "lanes", "other_tags", "fclass")
_PAIR = re.compile(r'[\s,]*"((?:[^"\\]|\\.)*+)"\s*=>\s*(?:"((?:[^"\\]|\\.)*+)"|NULL)', re.DOTALL)
_GEOFABRIK = re.compile(r"gis_osm_([a-z]+?)(?:_a)?_free(?:_\d+)?")
_LAYER_TAGS: Mapping[str, str] = MappingProxyType(
    {
        "buildings": "building",
        "roads": "highway",
        "landuse": "landuse",
        "natural": "natural",
        "pois": "leisure",
        "traffic": "amenity",
    }
)
_FORMS = {1: "Point", 2: "LineString", 3: "Polygon", 5: "MultiLineString", 6: "MultiPolygon"}


def read_features(path: str | Path, wanted: Callable[[Mapping[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """Read features of every layer as GeoJSON has them: tags, and places as longitude and latitude.

    Args:
        path: a GeoPackage on this machine.
        wanted: by its tags, whether a feature is.

    Yields:
        ``{"geometry": {"type", "coordinates"}, "properties"}``; rings are float64 ``(n, 2)``.

    Raises:
        MissingExtraError: pyogrio or rasterio is not installed.
        CrossbandError: no GeoPackage, damaged, without a coordinate system, or too large.
    """
    path = Path(path)
    for package in ("pyogrio", "rasterio"):
        need_package(package, "reading a GeoPackage", "uav")
    left, places = _MOST_FEATURES, 0
    for layer in _layers(path):
        system, shapes, columns = _read_layer(path, layer, left + 1)
        left -= len(shapes)
        if left < 0:
            raise _too_large(path, f"{_MOST_FEATURES:,} features")
        features, rings = _features(path, layer, shapes, columns, wanted)
        places += sum(len(ring) for ring in rings)
        if places > _MOST_PLACES:
            raise _too_large(path, f"{_MOST_PLACES:,} corners")
        _to_degrees(path, layer, system, rings)
        yield from features


def _too_large(path: Path, most: str) -> CrossbandError:
    return CrossbandError(f"{path} has more than {most}; export what was flown over alone", parameter="map")


def _damaged(path: Path, error: object) -> CrossbandError:
    text = "".join(letter if letter.isprintable() else " " for letter in str(error))
    reason = " ".join(text.replace(str(path), path.name).split())[:120]
    return CrossbandError(f"{path} is a damaged GeoPackage ({reason}); export it again", parameter="map")


def _layers(path: Path) -> list[str]:
    """The tables of features, of a file whose tables hold what is read rather than compute it."""
    _check_file(path)
    address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as file:
            file.execute("PRAGMA trusted_schema = OFF")
            made = file.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
            if any(_computes(kind, text) for kind, _, text in made):
                raise CrossbandError(
                    f"{path} has views or virtual tables, which are not read; export its layers alone",
                    parameter="map",
                )
            tables = {name for kind, name, _ in made if kind == "table"}
            listed = file.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'")
            layers = [name for (name,) in listed.fetchmany(_MOST_LAYERS + 1) if name in tables]
            if len(layers) > _MOST_LAYERS:
                raise _too_large(path, f"{_MOST_LAYERS} layers")
            for name in layers:
                held = file.execute("SELECT max(hidden) FROM pragma_table_xinfo(?)", (name,)).fetchone()
                if held[0]:
                    raise CrossbandError(
                        f"{path} has computed columns, which are not read; export its layers alone",
                        parameter="map",
                    )
            return layers
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        raise _damaged(path, error) from None


def _check_file(path: Path) -> None:
    """Refuse, by size and first bytes, what the engine would take for something else than it is named."""
    if set("!?;") & set(str(path.absolute())):
        raise CrossbandError(f"{path} cannot be opened for its name; leave out ! ? and ;", parameter="map")
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(100)
    except OSError as error:
        raise CrossbandError(f"{path} cannot be read ({error.strerror})", parameter="map") from None
    if not head.startswith(b"SQLite format 3\0"):
        raise CrossbandError(f"{path} is no GeoPackage; export it as one, or as GeoJSON", parameter="map")
    if size > _LARGEST:
        raise _too_large(path, f"{_LARGEST >> 20} MB")
    if size < _promised(head):
        raise _damaged(path, "it ends too early")


def _promised(head: bytes) -> int:
    """Bytes of the whole file, by the header of SQLite where that is up to date."""
    if len(head) < 100 or head[24:28] != head[92:96]:
        return 100
    page, pages = struct.unpack_from(">H", head, 16)[0], struct.unpack_from(">I", head, 28)[0]
    return (65536 if page == 1 else page) * pages


def _computes(kind: str, text: str) -> bool:
    words = text.upper().split()
    return kind == "view" or (words[1:2] == ["VIRTUAL"] and not re.search(r"USING\s+RTREE\b", text.upper()))


def _read_layer(path: Path, layer: str, most: int) -> tuple[str | None, np.ndarray, dict[str, np.ndarray]]:
    """Coordinate system, shapes as WKB, and the columns that tell tags."""
    import pyogrio

    try:
        with warnings.catch_warnings(action="ignore"):
            about, _, shapes, columns = pyogrio.raw.read(
                path.absolute(),
                layer=layer,
                columns=list(_COLUMNS),
                force_2d=True,
                max_features=most,
                IMMUTABLE="YES",
            )
    except Exception as error:  # the engine's errors have classes that nothing exports
        raise _damaged(path, error) from None
    if shapes is None:
        return about["crs"], np.empty(0, object), {}
    return about["crs"], shapes, dict(zip(about["fields"], columns, strict=True))


def _features(
    path: Path,
    layer: str,
    shapes: np.ndarray,
    columns: Mapping[str, np.ndarray],
    wanted: Callable[[Mapping[str, Any]], bool],
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """The features that are wanted, and all their rings, to be changed in place."""
    features: list[dict[str, Any]] = []
    rings: list[np.ndarray] = []
    for row, shape in enumerate(shapes):
        tags = _tags(layer, {name: column[row] for name, column in columns.items()})
        if shape is None or not wanted(tags):
            continue
        try:
            form, places, _ = _places(shape, 0, rings)
        except (struct.error, ValueError, IndexError) as error:
            raise _damaged(path, error) from None
        if form is not None:
            features.append({"geometry": {"type": form, "coordinates": places}, "properties": tags})
    return features, rings


def _tags(layer: str, row: Mapping[str, Any]) -> dict[str, str]:
    """A row's tags: of its columns, of ``other_tags``, of Geofabrik's layer and class."""
    said = {name: str(value) for name, value in row.items() if value is not None and value == value}
    tags = _hstore(said.pop("other_tags", "")) | said
    kind = tags.pop("fclass", "yes")
    known = _GEOFABRIK.fullmatch(layer)
    if known is not None and known[1] in _LAYER_TAGS:
        tags.setdefault(_LAYER_TAGS[known[1]], kind.partition("_grade")[0])
    return tags


def _hstore(text: str) -> dict[str, str]:
    """Read ``"key"=>"value","key"=>"value"``, up to what is not of that form.

    Example:
        >>> _hstore('"width"=>"3.5","name"=>"a \\\\"b\\\\"","ref"=>NULL')
        {'width': '3.5', 'name': 'a "b"'}
    """
    found, at = {}, 0
    while (pair := _PAIR.match(text, at)) is not None:
        if pair[2] is not None:
            found[_unescaped(pair[1])] = _unescaped(pair[2])
        at = pair.end()
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


def _places(data: bytes, at: int, rings: list[np.ndarray]) -> tuple[str | None, Any, int]:
    """Read well-known binary: form and places as in GeoJSON, and where it ends; other forms are ``None``."""
    order = "<" if data[at] == 1 else ">"
    form = _FORMS.get(struct.unpack_from(f"{order}I", data, at + 1)[0])
    at += 5
    if form == "Point":
        return form, _ring(data, at, 1, order, rings)[0], at + 16
    if form is None:
        return None, None, at
    count, at = struct.unpack_from(f"{order}I", data, at)[0], at + 4
    if form == "LineString":
        return form, _ring(data, at, count, order, rings), at + 16 * count
    parts = []
    for _ in range(count):
        if form == "Polygon":
            length, at = struct.unpack_from(f"{order}I", data, at)[0], at + 4
            part, at = _ring(data, at, length, order, rings), at + 16 * length
        else:
            _, part, at = _places(data, at, rings)
        parts.append(part)
    return form, parts, at


def _ring(data: bytes, at: int, count: int, order: str, rings: list[np.ndarray]) -> np.ndarray:
    ring = np.frombuffer(data, f"{order}f8", 2 * count, at).astype(float).reshape(-1, 2)
    rings.append(ring)
    return ring


def _to_degrees(path: Path, layer: str, system: str | None, rings: list[np.ndarray]) -> None:
    """Bring rings to longitude and latitude, in place; what is nowhere becomes infinite."""
    if not rings or system == "EPSG:4326":
        return
    if not system:
        raise CrossbandError(
            f"the layer {layer!r} of {path} has no coordinate system; export it with one", parameter="map"
        )
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    places = np.concatenate(rings)
    try:
        moved = np.stack(transform(system, "EPSG:4326", places[:, 0], places[:, 1]), 1)
    except (RasterioError, RuntimeError, ValueError) as error:
        raise CrossbandError(
            f"the layer {layer!r} of {path} has a coordinate system that is not known ({error}); "
            "export it in longitude and latitude",
            parameter="map",
        ) from None
    ends = np.cumsum([len(ring) for ring in rings])[:-1]
    for ring, part in zip(rings, np.split(moved, ends), strict=True):
        ring[:] = part
