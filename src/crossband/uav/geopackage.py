"""OpenStreetMap's features in a GeoPackage, as GDAL's OSM driver, QGIS or Geofabrik write them.

==================================  =====================================================================
columns named by tags                ``building``, ``highway``, ... and ``other_tags``, an hstore
layers ``gis_osm_*_free``            Geofabrik's: the layer says the tag, the column ``fclass`` its value
==================================  =====================================================================

A file may come from anybody: it is read only where its tables hold what is read, and rows give no more than
its size can hold.
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
_LONGEST_DEFAULT = 64  # characters; rows that lack the column do not hold it
_TIMES, _A_ROW = 4, 8  # bytes that rows give, of one that a file has; and of each row besides its values
_INDEX = re.compile(
    r'\s*CREATE\s+VIRTUAL\s+TABLE\s+(?:"(rtree_(?:[^"]|"")+)"|(rtree_\w+))\s+USING\s+rtree'
    r"\s*\(\s*id\s*,\s*minx\s*,\s*maxx\s*,\s*miny\s*,\s*maxy\s*\)\s*",
    re.IGNORECASE,
)
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
        ``{"id", "geometry": {"type", "coordinates"}, "properties"}``; the ``id`` is ``LAYER/NUMBER``, rings are
        float64 ``(n, 2)``.

    Raises:
        MissingExtraError: pyogrio or rasterio is not installed.
        CrossbandError: no GeoPackage, damaged, without a coordinate system, or too large.
    """
    path = Path(path)
    for package in ("pyogrio", "rasterio"):
        need_package(package, "reading a GeoPackage", "uav")
    left, places = _MOST_FEATURES, 0
    for layer in _layers(path):
        system, numbers, shapes, columns = _read_layer(path, layer, left + 1)
        left -= len(shapes)
        if left < 0:
            raise _too_large(path, f"{_MOST_FEATURES:,} features")
        features, rings = _features(path, layer, numbers, shapes, columns, wanted)
        places += sum(len(ring) for ring in rings)
        if places > _MOST_PLACES:
            raise _too_large(path, f"{_MOST_PLACES:,} corners")
        _to_degrees(path, layer, system, rings)
        yield from features


def _too_large(path: Path, most: str) -> CrossbandError:
    return CrossbandError(f"{path} has more than {most}; export what was flown over alone", parameter="map")


def _refused(path: Path, what: str) -> CrossbandError:
    return CrossbandError(f"{path} has {what}, which are not read; export its layers alone", parameter="map")


def _damaged(path: Path, error: object) -> CrossbandError:
    return CrossbandError(
        f"{path} is a damaged GeoPackage ({_reason(path, error)}); export it again", parameter="map"
    )


def _reason(path: Path, error: object) -> str:
    """What an engine says, in one short line and without the whole path."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(error))
    return " ".join(text.replace(str(path), path.name).split())[:120]


def _layers(path: Path) -> list[str]:
    """The tables of features, of a file whose tables hold what is read rather than compute it."""
    _check_file(path)
    address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    most = min(_LARGEST, _TIMES * path.stat().st_size)
    try:
        with closing(sqlite3.connect(address, uri=True)) as file:
            file.execute("PRAGMA trusted_schema = OFF")
            file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most)
            tables = _tables(path, file)
            columns = {name: _columns(path, file, name) for name in tables}
            for name, held in columns.items():
                most -= _bytes(file, name, held, most)
                if most < 0:
                    raise _refused(path, "rows of more bytes than the file itself")
            listed = file.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'")
            layers = [name for (name,) in listed.fetchmany(_MOST_LAYERS + 1) if name in columns]
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        raise _damaged(path, error) from None
    if len(layers) > _MOST_LAYERS:
        raise _too_large(path, f"{_MOST_LAYERS} layers")
    return layers


def _tables(path: Path, file: sqlite3.Connection) -> list[str]:
    """The tables that hold rows, where there is nothing else but GeoPackage's spatial indices."""
    listed = [row[1:3] for row in file.execute("PRAGMA table_list") if row[0] == "main"]
    if not listed:
        raise CrossbandError(
            f"{path} cannot be looked into by SQLite {sqlite3.sqlite_version}; use a Python with 3.37 or newer",
            parameter="map",
        )
    texts = file.execute("SELECT sql FROM sqlite_master WHERE typeof(sql) = 'text'")
    made = [found for (text,) in texts if (found := _INDEX.fullmatch(text)) is not None]
    indices = {(found[1] or found[2]).replace('""', '"') for found in made}
    if any(kind == "view" or (kind == "virtual" and name not in indices) for name, kind in listed):
        raise _refused(path, "views or virtual tables")
    return [name for name, kind in listed if kind != "virtual"]


def _columns(path: Path, file: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table, where each is held by the rows themselves."""
    about = file.execute(f"PRAGMA table_xinfo({_quoted(table)})").fetchall()
    if any(hidden for *_, hidden in about):
        raise _refused(path, "computed columns")
    if any(len(default or "") > _LONGEST_DEFAULT for _, _, _, _, default, _, _ in about):
        raise _refused(path, "columns with long defaults")
    return [name for _, name, *_ in about]


def _bytes(file: sqlite3.Connection, table: str, columns: list[str], most: int) -> int:
    """Bytes that the rows of a table give, or more than ``most``: two may share a place of the file."""
    lengths = ", ".join(f"ifnull(length(CAST({_quoted(name)} AS BLOB)), 0)" for name in columns)
    total = 0
    for row in file.execute(f"SELECT {lengths} FROM {_quoted(table)}"):
        total += _A_ROW + sum(row)
        if total > most:
            break
    return total


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _check_file(path: Path) -> None:
    """Refuse, by size and first bytes, what the engine would take for something else than it is named."""
    if set("!?;") & set(str(path.absolute())):
        raise CrossbandError(
            f"{path} cannot be opened because of its path; rename the file or folder without ! ? and ;",
            parameter="map",
        )
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(100)
        changing = _is_changing(path)
    except OSError as error:
        raise CrossbandError(f"{path} cannot be read ({error.strerror})", parameter="map") from None
    if not head.startswith(b"SQLite format 3\0"):
        raise CrossbandError(f"{path} is not a GeoPackage; export it as one, or as GeoJSON", parameter="map")
    if changing:
        raise CrossbandError(
            f"{path} has changes that are not yet in the file; close it in QGIS, or export it again",
            parameter="map",
        )
    if size > _LARGEST:
        raise _too_large(path, f"{_LARGEST >> 20} MB")
    if size < _promised(head):
        raise _damaged(path, "it ends too early")


def _is_changing(path: Path) -> bool:
    """Whether a log of changes lies beside a file; it is not read, as reading would write to it."""
    log, journal = (Path(f"{path.resolve()}-{kind}") for kind in ("wal", "journal"))
    if log.is_file() and log.stat().st_size:
        return True
    if not journal.is_file():
        return False
    with open(journal, "rb") as file:
        return any(file.read(8))  # zeros where all is written


def _promised(head: bytes) -> int:
    """Bytes of the whole file, by the header of SQLite where that is up to date."""
    if len(head) < 100 or head[24:28] != head[92:96]:
        return 100
    page, pages = struct.unpack_from(">H", head, 16)[0], struct.unpack_from(">I", head, 28)[0]
    return (65536 if page == 1 else page) * pages


def _read_layer(
    path: Path, layer: str, most: int
) -> tuple[str | None, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Coordinate system, the features' numbers, shapes as WKB, and the columns that tell tags."""
    import pyogrio

    try:
        with warnings.catch_warnings(action="ignore"):
            about, numbers, shapes, columns = pyogrio.raw.read(
                path.absolute(),
                layer=layer,
                columns=list(_COLUMNS),
                force_2d=True,
                max_features=most,
                return_fids=True,
                IMMUTABLE="YES",
            )
    except Exception as error:  # the engine's errors have classes that nothing exports
        raise _damaged(path, error) from None
    if shapes is None:
        return about["crs"], numbers, np.empty(0, object), {}
    return about["crs"], numbers, shapes, dict(zip(about["fields"], columns, strict=True))


def _features(
    path: Path,
    layer: str,
    numbers: np.ndarray,
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
            shown = {"type": form, "coordinates": places}
            features.append({"id": f"{layer}/{numbers[row]}", "geometry": shown, "properties": tags})
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
            f"the layer {layer!r} of {path} has a coordinate system that is not known "
            f"({_reason(path, error)}); export it in longitude and latitude",
            parameter="map",
        ) from None
    ends = np.cumsum([len(ring) for ring in rings])[:-1]
    for ring, part in zip(rings, np.split(moved, ends), strict=True):
        ring[:] = part
