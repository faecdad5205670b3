"""What a search in a flight answers: objects on the ground, ranked, as JSON, GeoJSON, KML and CSV."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from ..files import write_file
from ..geo import METERS_PER_DEGREE
from ..progress import printable
from ..results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ObjectMatch", "ReidResult", "Sighting", "ellipse", "geojson", "kml", "write_answer"]

_NINETY = 2.146  # radius, in standard deviations, of an ellipse that holds 90 % of two dimensions
_COIN = 0.15  # a probability as far from one half tells little


@dataclass(frozen=True)
class Sighting:
    """An object in one frame.

    Attributes:
        frame: its name.
        box: left, top, right, bottom in pixels of the frame.
        score: of the detection.
        distance: to the photograph: equation (1), or one less the cosine similarity.
    """

    frame: str
    box: tuple[float, float, float, float]
    score: float
    distance: float


@dataclass(frozen=True)
class ObjectMatch:
    """An object of the flight.

    Attributes:
        rank: 1 is the likeliest.
        frame: the frame that shows it most like the photograph; ``box``, ``score`` and ``distance`` are there.
        box: left, top, right, bottom in pixels of that frame.
        kind: its class.
        score: of that detection.
        distance: to the photograph.
        lat, lon: of the object, degrees; ``None`` where its ray meets no ground.
        x, y: meters east and north of the map's corner.
        confidence: of the frame's position, 0 to 1.
        probability: that it is the one, 0 to 1; ``None`` by equation (1), which has none.
        covariance: variance east, covariance, variance north of its position, square meters.
        length: meters, of the longer side of its box on the ground.
        sightings: of all frames that show it, in order of the flight: its track.
    """

    rank: int
    frame: str
    box: tuple[float, float, float, float]
    kind: str
    score: float
    distance: float
    lat: float | None
    lon: float | None
    x: float | None
    y: float | None
    confidence: float
    probability: float | None = None
    covariance: list[float] | None = None
    length: float | None = None
    sightings: tuple[Sighting, ...] = ()


@dataclass(frozen=True, repr=False)
class ReidResult(Result):
    """What the chain found.

    Attributes:
        method: ``objects``, by the packaged networks, or ``equation1``, as in the paper.
        there: whether the first object may be the one of the photograph.
        probability: that the photograph's object is in the flight, 0 to 1; ``None`` by equation (1).
        threshold: what decides ``there``: the largest distance, or the least probability.
        beta: of equation (1).
        matches: the likeliest objects, best first.
        n_objects: that were compared.
        n_frames: of the flight.
        ambient: of the flight, kelvin; ``None`` where it is in counts.
    """

    there: bool
    threshold: float
    beta: float | None
    matches: list[ObjectMatch]
    n_objects: int
    n_frames: int
    ambient: float | None
    method: str = "equation1"
    probability: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain mapping."""
        return {"crossband": "thermal-reid-2", **super().to_dict()}

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per match."""
        columns = [name for name in ObjectMatch.__dataclass_fields__ if name != "sightings"]
        return pd.DataFrame(
            [{**asdict(one), "seen": len(one.sightings)} for one in self.matches], columns=[*columns, "seen"]
        )

    @property
    def verdict(self) -> str:
        """Say in a few words whether the object is there."""
        if self.probability is None:
            near = "near enough to be the one" if self.there else "not there: nothing is near enough"
            return f"{near} (threshold {self.threshold:.3f})"
        said = "it may be there" if self.unsure else f"it is probably {'' if self.there else 'not '}there"
        return f"{said}; probability of being there {100 * self.probability:.0f} %"

    @property
    def unsure(self) -> bool:
        """Whether the probability is near that of a tossed coin."""
        return self.probability is not None and abs(self.probability - 0.5) < _COIN

    def plot(self) -> Figure:
        """Draw the distance of each match, and the threshold of equation (1)."""
        from ..reports.result_plots import plot_distances

        return plot_distances(self.to_pandas(), self.threshold if self.probability is None else None)


def ellipse(covariance: list[float]) -> tuple[float, float, float]:
    """Return the half axes, meters, and the bearing of the longer one, of the ellipse that holds 90 %.

    Args:
        covariance: variance east, covariance, variance north.

    Example:
        >>> [round(value, 1) for value in ellipse([1.0, 0.0, 9.0])]
        [6.4, 2.1, 0.0]
    """
    east, between, north = covariance
    values, vectors = np.linalg.eigh(np.array([[east, between], [between, north]]))
    long, short = (_NINETY * math.sqrt(max(float(value), 0.0)) for value in values[::-1])
    return long, short, float(np.degrees(np.arctan2(*vectors[:, 1])) % 180)


def _outline(one: ObjectMatch, points: int = 36) -> list[tuple[float, float]]:
    """The ellipse of 90 % around an object, as longitude and latitude, closed."""
    if one.lat is None or one.lon is None or one.covariance is None:
        return []
    long, short, bearing = ellipse(one.covariance)
    turn = math.radians(bearing)
    found = []
    for step in range(points + 1):
        angle = 2 * math.pi * (step % points) / points
        ahead, aside = long * math.cos(angle), short * math.sin(angle)
        east = ahead * math.sin(turn) + aside * math.cos(turn)
        north = ahead * math.cos(turn) - aside * math.sin(turn)
        scale = METERS_PER_DEGREE * math.cos(math.radians(one.lat))
        found.append((one.lon + east / scale, one.lat + north / METERS_PER_DEGREE))
    return found


def geojson(result: ReidResult) -> dict[str, Any]:
    """Return the matches as a GeoJSON FeatureCollection of points (RFC 7946: longitude first)."""
    features = []
    for one in result.matches:
        said = {key: value for key, value in asdict(one).items() if key not in ("lat", "lon", "sightings")}
        said["there"] = result.there and one.rank == 1
        said["frames"] = [sighting.frame for sighting in one.sightings]
        if one.covariance is not None:
            said["ellipse_90"] = [round(value, 2) for value in ellipse(one.covariance)]
        place = None if one.lat is None else {"type": "Point", "coordinates": [one.lon, one.lat]}
        features.append({"type": "Feature", "geometry": place, "properties": said})
    return {"type": "FeatureCollection", "features": features}


def kml(result: ReidResult) -> str:
    """Return the matches that have a place as KML 2.2, as map applications and pilots' tablets read it.

    A placemark each, with its error ellipse where that is known.
    """
    root = ElementTree.Element("kml", xmlns="http://www.opengis.net/kml/2.2")
    document = ElementTree.SubElement(root, "Document")
    ElementTree.SubElement(document, "name").text = "crossband reid"
    for one in result.matches:
        if one.lat is None:
            continue
        mark = ElementTree.SubElement(document, "Placemark")
        ElementTree.SubElement(mark, "name").text = f"{one.rank} {one.kind}"
        ElementTree.SubElement(mark, "description").text = printable(_said(one, result))
        shapes = ElementTree.SubElement(mark, "MultiGeometry")
        point = ElementTree.SubElement(shapes, "Point")
        ElementTree.SubElement(point, "coordinates").text = f"{one.lon:.8f},{one.lat:.8f}"
        if outline := _outline(one):
            line = ElementTree.SubElement(shapes, "LineString")
            text = " ".join(f"{longitude:.8f},{latitude:.8f}" for longitude, latitude in outline)
            ElementTree.SubElement(line, "coordinates").text = text
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _said(one: ObjectMatch, result: ReidResult) -> str:
    seen = f"frame {one.frame}" + (f" and {len(one.sightings) - 1} more" if len(one.sightings) > 1 else "")
    if one.probability is None:
        return f"{seen}, distance {one.distance:.3f} (at most {result.threshold:.3f} is the one)"
    return f"{seen}, {100 * one.probability:.0f} % likely to be the one"


def write_answer(folder: Path, result: ReidResult) -> None:
    """Write ``matches.json``, ``.geojson``, ``.kml`` and ``.csv``."""
    write_file(folder / "matches.json", json.dumps(result.to_dict(), indent=1))
    write_file(folder / "matches.geojson", json.dumps(geojson(result), indent=1))
    write_file(folder / "matches.kml", kml(result))
    table = result.to_pandas()
    for name in ("box", "covariance"):
        table[name] = [None if value is None else " ".join(f"{v:.2f}" for v in value) for value in table[name]]
    write_file(folder / "matches.csv", table.to_csv(index=False))
