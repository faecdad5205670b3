"""A map of the ground from OpenStreetMap: an extract as GeoJSON or GeoPackage, drawn as classes of a labeling.

What OpenStreetMap does not draw stays unknown: it neither speaks for a place nor against it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..errors import CrossbandError, need_package
from ..files import read_json
from ..geo import METERS_PER_DEGREE
from ..io import MAX_PIXELS
from ..progress import note, printable
from .geopackage import read_features
from .ground_classes import GROUND, UNKNOWN

__all__ = ["class_of", "read_street_map", "road_width"]

_LARGEST = 1 << 28  # bytes
_WIDTHS: Mapping[str, float] = MappingProxyType(  # meters, where a street says neither its width nor its lanes
    {
        "motorway": 12.0,
        "trunk": 10.0,
        "primary": 9.0,
        "secondary": 8.0,
        "tertiary": 7.0,
        "residential": 6.0,
        "unclassified": 6.0,
        "living_street": 6.0,
        "service": 4.0,
        "track": 3.0,
    }
)
_PAVED = {"footway": 2.5, "path": 2.0, "pedestrian": 5.0, "cycleway": 2.5, "steps": 2.5}
_LANE = 3.2
_GREEN = {"grass", "meadow", "village_green", "recreation_ground", "park", "garden", "grassland", "pitch"}
_GREEN |= {"farmland", "cemetery", "allotments", "greenfield", "scrub", "heath", "golf_course"}
_TREES = {"forest", "wood", "orchard", "tree_row"}
_TREE = 5.0  # meters across the crown of a tree that is a point
_ORDER = ("grass", "tree", "pavement", "road", "building")  # what is drawn later lies on top
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def class_of(tags: Mapping[str, Any]) -> str | None:
    """Return which class of the ground a feature's tags say, or ``None``.

    Example:
        >>> class_of({"building": "yes"}), class_of({"highway": "residential"}), class_of({"shop": "books"})
        ('building', 'road', None)
    """
    if str(tags.get("building") or "no") != "no":
        return "building"
    way = str(tags.get("highway") or "")
    if way in _WIDTHS or way.removesuffix("_link") in _WIDTHS or tags.get("amenity") == "parking":
        return "road"
    if way in _PAVED or tags.get("area:highway") in _PAVED or tags.get("place") == "square":
        return "pavement"
    values = {str(tags.get(key)) for key in ("landuse", "natural", "leisure", "landcover")}
    if values & _TREES or tags.get("natural") == "tree":
        return "tree"
    return "grass" if values & _GREEN else None


def road_width(tags: Mapping[str, Any]) -> float:
    """Return how wide a street or a path is, meters: as it says, by its lanes, or as is usual.

    Example:
        >>> road_width({"highway": "primary", "lanes": "2"}), road_width({"highway": "footway"})
        (6.4, 2.5)
    """
    way = str(tags.get("highway") or "").removesuffix("_link")
    said, lanes = (_NUMBER.search(str(tags.get(key) or "")) for key in ("width", "lanes"))
    if said is not None and 0.5 <= float(said[0]) <= 80:
        return float(said[0])
    if lanes is not None and 1 <= float(lanes[0]) <= 16:
        return _LANE * float(lanes[0])
    return _PAVED.get(way) or _WIDTHS.get(way, 5.0)


def read_street_map(path: str | Path, meters: float = 0.5) -> tuple[np.ndarray, float, float]:
    """Draw an extract of OpenStreetMap.

    Args:
        path: a GeoJSON FeatureCollection, as overpass turbo and osmtogeojson write it; or a GeoPackage, see
            :mod:`.geopackage`.
        meters: side of a pixel.

    Returns:
        uint8 ``(H, W)``, north up, indices of ``GROUND``; and latitude and longitude of its south-west corner.

    Raises:
        CrossbandError: neither of them, nothing in it that is drawn, or too large an area.
    """
    need_package("cv2", "drawing a map", "uav")
    path = Path(path)
    shapes = _on_the_earth(path, _placed(path, [shape for feature in _features(path) for shape in feature]))
    points = np.concatenate([ring for shape in shapes for ring in shape.rings])
    west, south = points.min(0).tolist()
    across = METERS_PER_DEGREE * math.cos(math.radians(south))
    size = np.ceil((points.max(0) - (west, south)) * (across, METERS_PER_DEGREE) / meters).astype(int) + 1
    if int(size[0]) * int(size[1]) > MAX_PIXELS:
        raise CrossbandError(f"{path} covers too large an area; export what was flown over", parameter="map")
    labels = np.full((int(size[1]), int(size[0])), UNKNOWN, np.uint8)
    scale = np.array([across, METERS_PER_DEGREE]) / meters
    for name in _ORDER:
        for shape in shapes:
            if shape.kind == name:
                corners = [(ring - (west, south)) * scale for ring in shape.rings]
                _draw(labels, corners, GROUND.index(name), shape.width / meters, shape.filled)
    return labels, south, west


class _Shape(NamedTuple):
    """What is drawn.

    Attributes:
        name: of its feature.
        kind: its class.
        width: meters, of a line or a point.
        filled: whether it is.
        rings: longitude and latitude, ``(n, 2)`` each; none where the feature has no place.
    """

    name: str
    kind: str
    width: float
    filled: bool
    rings: list[np.ndarray]


def _placed(path: Path, shapes: list[_Shape]) -> list[_Shape]:
    """The shapes that have a place; the others are said."""
    if not shapes:
        raise CrossbandError(
            f"{path} has no building, street, wood or green of OpenStreetMap; export those with their tags",
            parameter="map",
        )
    kept = [shape for shape in shapes if shape.rings and all(np.isfinite(ring).all() for ring in shape.rings)]
    if not kept:
        raise CrossbandError(
            f"all that {path} draws is empty or nowhere on the earth, first {shapes[0].name}; "
            "export it again, with its places as longitude and latitude",
            parameter="map",
        )
    if len(kept) < len(shapes):
        note(f"{path}: {len(shapes) - len(kept)} of {len(shapes)} shapes have no place, and are left out")
    return kept


def _on_the_earth(path: Path, shapes: list[_Shape]) -> list[_Shape]:
    for shape in shapes:
        if any((np.abs(ring) > (180, 90)).any() for ring in shape.rings):
            raise CrossbandError(
                f"{path} has places that are not on the earth, first {shape.name}; "
                "export it in longitude and latitude",
                parameter="map",
            )
    return shapes


def _features(path: Path) -> Iterator[Iterator[_Shape]]:
    """The shapes of each feature."""
    for number, feature in enumerate(_read(path), 1):
        if isinstance(feature, dict) and isinstance(feature.get("geometry"), dict):
            yield _shapes(feature, f"feature {printable(str(feature.get('id', number)))[:80]}")


def _read(path: Path) -> Iterable[Any]:
    if path.suffix.lower() == ".gpkg":
        return read_features(path, lambda tags: class_of(tags) is not None)
    content = read_json(path, _LARGEST)
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list):
        raise CrossbandError(
            f"{path} is not a GeoJSON FeatureCollection; export it as one, or as GeoPackage", parameter="map"
        )
    return features


def _shapes(feature: dict[str, Any], name: str) -> Iterator[_Shape]:
    """What a feature is drawn as."""
    tags: dict[str, Any] = feature.get("properties") or {}
    if isinstance(tags.get("tags"), dict):
        tags = tags["tags"]
    kind = class_of(tags)
    if kind is None:
        return
    form, places = str(feature["geometry"].get("type")), feature["geometry"].get("coordinates")
    try:
        if form == "Polygon":
            yield _Shape(name, kind, 0.0, True, [_ring(ring) for ring in places])
        elif form == "MultiPolygon":
            for part in places or [[]]:
                yield _Shape(name, kind, 0.0, True, [_ring(ring) for ring in part])
        elif form in ("LineString", "MultiLineString") and kind in ("road", "pavement", "tree"):
            for part in [places] if form == "LineString" else places or [[]]:
                yield _Shape(name, kind, _TREE if kind == "tree" else road_width(tags), False, [_ring(part)])
        elif form == "Point" and kind == "tree":
            yield _Shape(name, kind, _TREE, False, [_ring([places])])
    except (TypeError, ValueError, IndexError):
        yield _Shape(name, kind, 0.0, False, [])


def _ring(places: Any) -> np.ndarray:
    found = places if isinstance(places, np.ndarray) else np.array([place[:2] for place in places], float)
    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise ValueError("no places")
    return found


def _draw(labels: np.ndarray, rings: list[np.ndarray], number: int, width: float, filled: bool) -> None:
    import cv2

    height = labels.shape[0]
    corners = [np.stack([ring[:, 0], height - 1 - ring[:, 1]], 1).round().astype(np.int32) for ring in rings]
    if filled:
        cv2.fillPoly(labels, corners, number)
    elif len(corners[0]) == 1:
        center = int(corners[0][0, 0]), int(corners[0][0, 1])
        cv2.circle(labels, center, max(1, round(width / 2)), number, -1)
    else:
        cv2.polylines(labels, corners, False, number, max(1, round(width)))
