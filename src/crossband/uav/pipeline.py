"""From a color photograph to the object in the thermal flight, on the map.

Two ways lead there, and both answer with ranked objects on the ground:

- ``objects``, by the packaged networks: the frames are localized together, their boxes described and joined to
  objects, and these compared with the photograph; see :mod:`.object_ranking`.
- ``equation1``, the chain of figure 1 of "Object Re-identification Using Multimodal Aerial Imagery and
  Conditional Adversarial Networks" (ISPRS Archives XLIV-2/W1-2021), by a folder of networks: translate the
  photograph, localize each frame, align the map's labeling, detect objects with it, and compare each box with
  the photograph.

Each stage leaves its file in the output folder; see :mod:`.stages`, :mod:`.sequence_stage` and
:mod:`.object_stage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..data.preprocess import four_numbers
from ..errors import CrossbandError, need_package, unknown_name
from ..files import make_folder
from ..io.exif import read_exif
from ..progress import note, track
from .answer import ObjectMatch, ReidResult, Sighting, write_answer
from .flight import Beside, Flight, open_flight
from .match import bhattacharyya, combined, mser_distance, object_crop, signature
from .networks import Networks
from .object_class import read_object_classes
from .object_descriptor import ObjectDescriptor, View, crop_around, load_object_descriptor
from .object_ranking import Evidence, RankWeights, length_difference, object_probabilities, similarity
from .object_stage import FlightObjects, describe, join, object_length
from .semantic_map import SemanticMap, read_map
from .sequence_stage import RADIUS, given_positions, locate_flight, plane_of
from .stages import Position, align, check_radius, detect, localize
from .translate import Photograph, Thermal, read_photograph, translate_photograph

__all__ = [
    "METHODS",
    "Searched",
    "box_distances",
    "compare",
    "parse_box",
    "photograph_views",
    "reid",
    "shows_enough",
]

METHODS = ("objects", "equation1")
_THERE = 0.5  # probability

LEAST = 0.1
"""Score of a detection, at least: what is missed cannot be found, and what is none is told by its rank."""


def reid(
    photo: str | Path,
    flight: str | Path,
    map: str | Path | None = None,
    models: str | Path | None = None,
    out: str | Path = "uav",
    *,
    method: str | None = None,
    box: Sequence[float] | None = None,
    k: int = 20,
    radius: float | None = None,
    where: dict[str, list[str]] | None = None,
    beside: Beside | None = None,
    device: str = "cpu",
) -> ReidResult:
    """Find the object of a photograph in a thermal flight.

    Writes below ``out``: the files of the stages, ``matches.json``, ``.geojson``, ``.kml``, ``.csv`` and
    ``.jpg``, and the page ``report.html``; by equation (1) also ``probe.png`` (16-bit centikelvin). Started
    again, it resumes; another photograph over the same flight takes what is there.

    Args:
        photo: color.
        flight: see :mod:`.flight`.
        map: see :func:`.semantic_map.read_map`; without one, positions are those of the flight's table.
        models: see :mod:`.networks`; with them the paper's way is gone.
        out: the folder.
        method: of :data:`METHODS`; ``equation1`` where there are models, else ``objects``.
        box: left, top, right, bottom of the object in the photograph, pixels.
        k: how many objects.
        radius: meters searched around each rough position.
        where: column of the flight's table -> values that are kept.
        beside: a log, a lens, the terrain.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        CrossbandError: a photograph, flight, map or network that is missing or wrong.
    """
    need_package("cv2", "re-identification in a flight", "uav")
    if k < 1:
        raise CrossbandError(f"k is at least 1, not {k}", parameter="k")
    check_radius(radius)
    how = method or ("objects" if models is None else "equation1")
    if how not in METHODS:
        raise unknown_name("method", how, METHODS, parameter="method")
    photograph, folder = read_photograph(photo, box), make_folder(out)
    networks = Networks(None if models is None else Path(models), device)
    if how == "equation1":
        if map is None:
            raise CrossbandError("the method equation1 localizes by a map; give one", parameter="map")
        networks.load()
    else:
        networks.load("detector", *(() if map is None else ("labeler",)))
    frames, ground = open_flight(flight, where, beside), None if map is None else read_map(map)
    if how == "equation1" and ground is not None:
        searched = _by_equation(photograph, frames, ground, networks, folder, k, radius)
    else:
        searched = _by_objects(
            photograph, _length(photo, photograph), frames, ground, networks, folder, k, radius
        )
    write_answer(folder, searched.result)
    from .figure import save_reid
    from .flight_page import write_page

    save_reid(folder / "matches.jpg", searched)
    write_page(folder, searched)
    return searched.result


@dataclass(frozen=True)
class Searched:
    """What was searched and found, as its pictures need it.

    Attributes:
        photograph: what was asked for.
        thermal: its translation, by equation (1).
        flight: what was searched.
        ground: the map; a single unknown pixel where none was given.
        positions: of the frames.
        result: what was found.
    """

    photograph: Photograph
    thermal: Thermal | None
    flight: Flight
    ground: SemanticMap
    positions: list[Position]
    result: ReidResult


def _by_objects(
    photograph: Photograph,
    length: float | None,
    frames: Flight,
    ground: SemanticMap | None,
    networks: Networks,
    folder: Path,
    k: int,
    radius: float | None,
) -> Searched:
    """Search by the packaged networks; ``length`` is the object's in meters, where the photograph tells."""
    detector, descriptor, weights = (
        networks.detector,
        load_object_descriptor(networks.device),
        RankWeights.read(),
    )
    if detector.reads_map:
        raise CrossbandError(
            "this detector reads the map's labeling, which only the method equation1 makes", parameter="method"
        )
    used = ["crossband-detect", "crossband-objects", *(["crossband-label"] if ground is not None else [])]
    note(f"by the packaged networks {', '.join(used)}")
    if ground is None:
        note("no map was given: positions are those of the flight's own table, some ten meters off")
        ground = plane_of(frames)
        positions = given_positions(frames, ground, folder)
    else:
        positions = locate_flight(frames, ground, networks.labeler, folder, radius or RADIUS)
    found = detect(frames, detector, folder, least=LEAST)
    asked = photograph_views(photograph, descriptor)
    described = {view: describe(frames, found, descriptor, folder, view) for view in asked}
    objects = join(frames, ground, positions, found, [one.size for one in next(iter(described.values()))])
    if weights.made_by != (detector.digest, descriptor.digest):
        note("probabilities were calibrated with other networks than these: take them for an order only")
    vectors = {view: [one.vectors for one in each] for view, each in described.items()}
    classes = read_object_classes()
    likely = classes.likely(asked, detector.classes) if classes.made_by == descriptor.digest else None
    distances, evidence = compare(objects, vectors, asked, length, likely)
    probabilities, there = object_probabilities(evidence, weights)
    matches = [
        _match(rank, number, frames, ground, positions, objects, distances, detector.classes, probabilities)
        for rank, number in enumerate(np.argsort(-probabilities, kind="stable")[:k].tolist(), start=1)
    ]
    ambient = frames.ambient() if frames.thermometric else None
    result = ReidResult(
        there >= _THERE, _THERE, None, matches, len(objects.objects), len(frames), ambient, "objects", there
    )
    return Searched(photograph, None, frames, ground, positions, result)


def shows_enough(photograph: Photograph, margin: float) -> bool:
    """Tell whether a photograph shows enough of what is around its object for this to be compared.

    A half of what a crop shows, on average over the four sides.

    Args:
        photograph: with the object's box.
        margin: of the box's longer side, that a crop shows more on each side.
    """
    height, width = photograph.pixels.shape[-2:]
    left, top, right, bottom = photograph.box
    wanted = margin * max(right - left, bottom - top)
    shown = sum(min(side, wanted) for side in (left, top, width - right, height - bottom)) / 4
    return shown >= wanted / 2


def photograph_views(photograph: Photograph, descriptor: ObjectDescriptor) -> dict[View, np.ndarray]:
    """Describe the object of a photograph, turned by quarters: unit vectors ``(4, d)`` of each view.

    The object alone, where it shows no more; else with what is around it and, if it shows that, with its place.
    """
    views = [view for view in (View.AROUND, View.PLACE) if shows_enough(photograph, descriptor.shown(view))]
    found = {}
    for view in views or [View.BARE]:
        crop = crop_around(photograph.pixels, photograph.box, descriptor.size, descriptor.shown(view))[None]
        found[view] = descriptor(torch.cat([torch.rot90(crop, turns, (-2, -1)) for turns in range(4)]))
    return found


def compare(
    objects: FlightObjects,
    vectors: Mapping[View, list[np.ndarray]],
    asked: Mapping[View, np.ndarray],
    length: float | None,
    likely: np.ndarray | None = None,
) -> tuple[list[np.ndarray], Evidence]:
    """Compare the objects of a flight with a photograph.

    Args:
        objects: of :func:`.object_stage.join`.
        vectors: in each of the photograph's views, of each frame's boxes, ``(n, d)``.
        asked: of :func:`photograph_views`.
        length: of the photograph's object, meters, or ``None``.
        likely: of :meth:`.ObjectClasses.likely`; ``None`` if unknown.

    Returns:
        the distances of each frame's boxes, and what is known of the objects.
    """
    near = View.BARE if View.BARE in asked else View.AROUND
    distances = [1 - (one @ asked[near].T).max(1) if len(one) else np.zeros(0) for one in vectors[near]]
    alike = {
        view: similarity(
            mine, [np.stack([vectors[view][r][n] for r, n in one.seen]) for one in objects.objects]
        )
        for view, mine in asked.items()
    }
    score = np.array([one.score for one in objects.objects])
    seen = np.array([len(one.seen) for one in objects.objects], float)
    unlike = length_difference(objects.lengths(), length)
    kind = None if likely is None else likely[[one.kind for one in objects.objects]]
    return distances, Evidence(alike[near], score, unlike, seen, alike.get(View.PLACE), kind, near)


def _length(photo: str | Path, photograph: Photograph) -> float | None:
    """The length in meters of an object photographed straight from above, where the file says from how high."""
    told = read_exif(photo)
    if not {"altitude", "focal"} <= set(told) or told["altitude"] <= 0 or abs(told.get("pitch", -90) + 90) > 20:
        return None
    left, top, right, bottom = photograph.box
    return float(max(right - left, bottom - top) / told["focal"] * told["altitude"])


def _by_equation(
    photograph: Photograph,
    frames: Flight,
    ground: SemanticMap,
    networks: Networks,
    folder: Path,
    k: int,
    radius: float | None,
) -> Searched:
    """Search as in the paper; the nearest of an object's boxes is its distance."""
    calibration, (translator, _) = networks.calibration, networks.translator
    frames.need_temperatures()
    positions = localize(frames, ground, networks.labeler, networks.locator, folder, radius)
    labels = None
    if networks.detector.reads_map:
        labels = align(frames, ground, positions, networks.labeler, folder)
    found = detect(frames, networks.detector, folder, labels)
    ambient = frames.ambient()
    thermal = translate_photograph(photograph, translator, ambient, _usual_side(found))
    thermal.write(folder / "probe.png")
    distances, sizes = box_distances(thermal, frames, found, calibration.beta)
    objects = join(frames, ground, positions, found, sizes)
    nearest = np.array([min(distances[row][n] for row, n in one.seen) for one in objects.objects])
    matches = [
        _match(rank, number, frames, ground, positions, objects, distances, networks.detector.classes)
        for rank, number in enumerate(np.argsort(nearest, kind="stable")[:k].tolist(), start=1)
    ]
    there = bool(matches) and matches[0].distance <= calibration.threshold
    result = ReidResult(
        there, calibration.threshold, calibration.beta, matches, len(objects.objects), len(frames), ambient
    )
    return Searched(photograph, thermal, frames, ground, positions, result)


def _usual_side(found: list[np.ndarray]) -> float | None:
    """The median longer side of what was detected, a half more; ``None`` without any."""
    boxes = np.concatenate(found) if found else np.zeros((0, 6))
    if not len(boxes):
        return None
    return 1.5 * float(np.median(np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])))


def box_distances(
    thermal: Thermal, flight: Flight, found: list[np.ndarray], beta: float
) -> tuple[list[np.ndarray], list[tuple[int, int]]]:
    """Compare a translated photograph with all boxes of a flight by equation (1).

    Args:
        thermal: of :func:`.translate.translate`.
        flight: radiometric.
        found: of :func:`.stages.detect`.
        beta: of equation (1).

    Returns:
        the distances of each frame's boxes, and the frames' (height, width).

    Raises:
        CrossbandError: a flight in counts, which has no temperatures.
    """
    probe = signature(object_crop(thermal.kelvin, thermal.box), thermal.ambient)
    distances, sizes = [], []
    for row, boxes in track(list(enumerate(found)), len(found), "matching", "frames"):
        kelvin = flight.kelvin(row)
        sizes.append((kelvin.shape[0], kelvin.shape[1]))
        others = [signature(object_crop(kelvin, one[:4]), thermal.ambient) for one in boxes]
        heat = np.array([float(bhattacharyya(probe.histogram, other.histogram)) for other in others])
        regions = np.array([mser_distance(probe.regions, other.regions) for other in others])
        distances.append(combined(heat, regions, beta))
    return distances, sizes


def _match(
    rank: int,
    number: int,
    flight: Flight,
    ground: SemanticMap,
    positions: list[Position],
    objects: FlightObjects,
    distances: list[np.ndarray],
    classes: list[str],
    probabilities: np.ndarray | None = None,
) -> ObjectMatch:
    """An object as it is answered."""
    one = objects.objects[number]
    sightings = tuple(
        Sighting(
            flight.names[row],
            _corners(objects.boxes[row][n]),
            float(objects.boxes[row][n][4]),
            float(distances[row][n]),
        )
        for row, n in one.seen
    )
    best = min(range(len(sightings)), key=lambda i: sightings[i].distance)
    row, n = one.seen[best]
    latitude, longitude = ground.to_geographic(one.x, one.y)
    (east, between), (_, north) = one.covariance.tolist()
    return ObjectMatch(
        rank,
        sightings[best].frame,
        sightings[best].box,
        classes[one.kind],
        sightings[best].score,
        sightings[best].distance,
        latitude,
        longitude,
        one.x,
        one.y,
        positions[row].confidence,
        None if probabilities is None else float(probabilities[number]),
        [east, between, north],
        object_length(objects.boxes[row][n], objects.poses[row]),
        sightings,
    )


def _corners(box: np.ndarray) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(v) for v in box[:4])
    return left, top, right, bottom


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
