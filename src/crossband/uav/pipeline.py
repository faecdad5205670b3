"""From a color photograph to the object in the thermal flight, on the map: the chain of figure 1.

"Object Re-identification Using Multimodal Aerial Imagery and Conditional Adversarial Networks" (ISPRS Archives
XLIV-2/W1-2021): translate the photograph, localize the frames, align the map's labeling, detect objects with
it, and compare each with the photograph. Each stage leaves its file in the output folder; see :mod:`.stages`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from ..data.preprocess import four_numbers
from ..errors import CrossbandError, need_package
from ..files import make_folder, write_file
from ..progress import printable, track
from ..results import Result
from .flight import Flight, open_flight
from .match import bhattacharyya, combined, mser_distance, object_crop, signature
from .networks import Detector, Networks
from .semantic_map import SemanticMap, read_map
from .stages import Position, align, detect, localize
from .translate import Thermal, read_photograph, translate_photograph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ObjectMatch", "ReidResult", "geojson", "kml", "match", "reid"]


@dataclass(frozen=True)
class ObjectMatch:
    """An object of the flight.

    Attributes:
        rank: 1 is the nearest.
        frame: where it is seen.
        box: left, top, right, bottom in pixels of the frame.
        kind: its class.
        score: of the detection.
        distance: to the photograph, equation (1), 0 to 1.
        lat, lon: of the object, degrees; ``None`` where its ray meets no ground.
        x, y: meters east and north of the map's corner.
        confidence: of the frame's position, 0 to 1.
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


@dataclass(frozen=True, repr=False)
class ReidResult(Result):
    """What the chain found.

    Attributes:
        there: whether the nearest object is near enough to be the one.
        threshold: the distance that decides it, calibrated on val.
        beta: of equation (1), likewise.
        matches: the nearest objects, nearest first.
        n_objects: that were compared.
        n_frames: of the flight.
        ambient: of the flight, kelvin.
    """

    there: bool
    threshold: float
    beta: float
    matches: list[ObjectMatch]
    n_objects: int
    n_frames: int
    ambient: float

    def to_dict(self) -> dict[str, Any]:
        """Return a plain mapping."""
        return {"crossband": "thermal-reid-1", **super().to_dict()}

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per match."""
        columns = list(ObjectMatch.__dataclass_fields__)
        return pd.DataFrame([asdict(one) for one in self.matches], columns=columns)

    def plot(self) -> Figure:
        """Draw the distance of each match, and the threshold below which it may be the object."""
        from ..reports.result_plots import plot_distances

        return plot_distances(self.to_pandas(), self.threshold)


def reid(
    photo: str | Path,
    flight: str | Path,
    map: str | Path,
    models: str | Path,
    out: str | Path,
    *,
    box: Sequence[float] | None = None,
    k: int = 20,
    radius: float | None = None,
    where: dict[str, list[str]] | None = None,
    device: str = "cpu",
) -> ReidResult:
    """Find the object of a photograph in a thermal flight.

    Writes below ``out``: ``probe.png`` (16-bit centikelvin), the files of the stages, ``matches.json``,
    ``matches.geojson``, ``matches.kml`` and ``matches.jpg``. Started again, it resumes; another photograph
    over the same flight takes what is there.

    Args:
        photo: color.
        flight: see :mod:`.flight`.
        map: see :func:`.semantic_map.read_map`.
        models: see :mod:`.networks`.
        out: the folder.
        box: left, top, right, bottom of the object in the photograph, pixels.
        k: how many matches.
        radius: meters searched around each rough position.
        where: column of the flight's table -> values that are kept.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        CrossbandError: a photograph, flight, map or network that is missing or wrong.
    """
    need_package("cv2", "re-identification in a flight", "uav")
    if k < 1:
        raise CrossbandError(f"k is at least 1, not {k}", parameter="k")
    photograph, folder = read_photograph(photo, box), make_folder(out)
    networks = Networks(Path(models), device)
    networks.load()
    calibration, (translator, _) = networks.calibration, networks.translator
    frames, ground = open_flight(flight, where), read_map(map)
    frames.need_temperatures()
    positions = localize(frames, ground, networks.labeler, networks.locator, folder, radius)
    labels = align(frames, ground, positions, folder) if networks.detector.network.semantics else None
    found = detect(frames, networks.detector, folder, labels)
    ambient = frames.ambient()
    thermal = translate_photograph(photograph, translator, ambient, _usual_side(found))
    thermal.write(folder / "probe.png")
    result = match(
        thermal, frames, found, positions, ground, networks.detector, calibration.beta, calibration.threshold, k
    )
    write_file(folder / "matches.json", json.dumps(result.to_dict(), indent=1))
    write_file(folder / "matches.geojson", json.dumps(geojson(result), indent=1))
    write_file(folder / "matches.kml", kml(result))
    from .figure import save_reid

    save_reid(folder / "matches.jpg", photograph, thermal, frames, ground, positions, result)
    return result


def _usual_side(found: list[np.ndarray]) -> float | None:
    """The median longer side of what was detected, a half more; ``None`` without any."""
    boxes = np.concatenate(found) if found else np.zeros((0, 6))
    if not len(boxes):
        return None
    return 1.5 * float(np.median(np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])))


def match(
    thermal: Thermal,
    flight: Flight,
    found: list[np.ndarray],
    positions: list[Position],
    ground: SemanticMap,
    detector: Detector,
    beta: float,
    threshold: float,
    k: int = 20,
) -> ReidResult:
    """Compare a translated photograph with all detections of a flight.

    Args:
        thermal: of :func:`.translate.translate`.
        flight: radiometric.
        found: of :func:`.stages.detect`.
        positions: of :func:`.stages.localize`.
        ground: the map.
        detector: whose classes they are.
        beta: of equation (1).
        threshold: distance beyond which nothing is the object.
        k: how many matches are kept.

    Raises:
        CrossbandError: a flight in counts, which has no temperatures.
    """
    probe = signature(object_crop(thermal.kelvin, thermal.box), thermal.ambient)
    rows: list[tuple[float, int, np.ndarray]] = []
    for row, boxes in track(list(enumerate(found)), len(found), "matching", "frames"):
        kelvin = flight.kelvin(row) if len(boxes) else None
        for one in boxes if kelvin is not None else ():
            assert kelvin is not None
            other = signature(object_crop(kelvin, one[:4]), thermal.ambient)
            parts = bhattacharyya(probe.histogram, other.histogram), mser_distance(probe.regions, other.regions)
            rows.append((float(combined(np.asarray(parts[0]), np.asarray(parts[1]), beta)), row, one))
    rows.sort(key=lambda item: item[0])
    matches = [
        _object(rank, distance, row, one, flight, positions[row], ground, detector.classes)
        for rank, (distance, row, one) in enumerate(rows[:k], start=1)
    ]
    there = bool(matches) and matches[0].distance <= threshold
    return ReidResult(there, threshold, beta, matches, len(rows), len(flight), thermal.ambient)


def _object(
    rank: int,
    distance: float,
    row: int,
    one: np.ndarray,
    flight: Flight,
    position: Position,
    ground: SemanticMap,
    classes: list[str],
) -> ObjectMatch:
    height, width = flight.pixels(row)[0].shape
    pose = flight.pose(row, ground, (height, width)).moved(position.x, position.y)
    x, y = (float(v) for v in pose.to_ground((one[0] + one[2]) / 2, (one[1] + one[3]) / 2))
    known = bool(np.isfinite(x) and np.isfinite(y))
    latitude, longitude = ground.to_geographic(x, y) if known else (None, None)
    left, top, right, bottom = (float(v) for v in one[:4])
    return ObjectMatch(
        rank,
        flight.names[row],
        (left, top, right, bottom),
        classes[int(one[5])],
        float(one[4]),
        distance,
        latitude,
        longitude,
        x if known else None,
        y if known else None,
        position.confidence,
    )


def geojson(result: ReidResult) -> dict[str, Any]:
    """Return the matches as a GeoJSON FeatureCollection of points (RFC 7946: longitude first)."""
    features = [
        {
            "type": "Feature",
            "geometry": None if one.lat is None else {"type": "Point", "coordinates": [one.lon, one.lat]},
            "properties": {
                "rank": one.rank,
                "frame": one.frame,
                "box": list(one.box),
                "kind": one.kind,
                "score": one.score,
                "distance": one.distance,
                "confidence": one.confidence,
                "there": one.distance <= result.threshold,
            },
        }
        for one in result.matches
    ]
    return {"type": "FeatureCollection", "features": features}


def kml(result: ReidResult) -> str:
    """Return the matches that have a place as KML 2.2, a placemark each, as map applications read it."""
    root = ElementTree.Element("kml", xmlns="http://www.opengis.net/kml/2.2")
    document = ElementTree.SubElement(root, "Document")
    ElementTree.SubElement(document, "name").text = "crossband reid"
    for one in result.matches:
        if one.lat is None:
            continue
        mark = ElementTree.SubElement(document, "Placemark")
        ElementTree.SubElement(mark, "name").text = f"{one.rank} {one.kind}"
        said = f"frame {one.frame}, distance {one.distance:.3f} (at most {result.threshold:.3f} is the one)"
        ElementTree.SubElement(mark, "description").text = printable(said)
        point = ElementTree.SubElement(mark, "Point")
        ElementTree.SubElement(point, "coordinates").text = f"{one.lon:.8f},{one.lat:.8f}"
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def parse_box(text: str | None) -> tuple[float, float, float, float] | None:
    """Read the text LEFT,TOP,RIGHT,BOTTOM.

    Example:
        >>> parse_box("4,8,24,18")
        (4.0, 8.0, 24.0, 18.0)

    Raises:
        CrossbandError: not four numbers.
    """
    if text is None:
        return None
    said = f"a box is LEFT,TOP,RIGHT,BOTTOM in pixels, as in 4,8,24,18, not {text!r}"
    return four_numbers(text, said, "box")
