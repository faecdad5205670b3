"""The stage that localizes the frames of a flight together.

=====================  ==============================================================================
``ground/``            ``FRAME.png``, the labeling of each frame, 8 bits
``ground.jsonl``       ``frame``, ``file``
``positions.jsonl``    as of :mod:`.stages`, with ``covariance``
=====================  ==============================================================================

Labeling takes the time; it is kept frame by frame, and a stage that is started again goes on after the last.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ..devices import device_of, quick_dtype
from ..errors import CrossbandError
from ..files import make_folder
from ..io import read_image
from ..progress import note, track
from .attitude import Attitude, attitude_rows, estimate_attitude, remaining_error
from .flight import Flight
from .ground_classes import UNKNOWN
from .likelihood import agreement
from .networks import Labeler
from .semantic_map import SemanticMap
from .sequence import Estimate, Motion, ground_motion, locate_sequence
from .stages import Position, StageFile, label_image, map_digest, write_png

__all__ = ["RADIUS", "given_positions", "label_flight", "locate_flight", "plane_of"]

_FAR = 10_000.0  # meters off the map: no flight that other frames show over it gets there

RADIUS = 60.0
"""Meters that are searched around each rough position."""

_AGREES, _ALIKE = 10.0, 0.59
"""Mean log-likelihood of a frame's best place, and mean share of its ground that is as the map has it there. By
the right map one of the two was higher in all of ten flights over two cities that chose (9.4 to 24.9; 0.59 to
0.93); by other cities' maps both were lower in 12 of 20."""

_TURNED, _RAISED = 4.0, 0.12  # degrees and shares from which a correction is said

_DRIFT = 9.0
"""Standard deviation, meters, of the difference of two consecutive rough positions."""


def plane_of(flight: Flight) -> SemanticMap:
    """Return a map that knows nothing, for the meters of a flight without one."""
    south, west = float(flight.table["lat"].min()), float(flight.table["lon"].min())
    return SemanticMap(np.full((1, 1), UNKNOWN, np.uint8), 1.0, south, west)


def given_positions(flight: Flight, ground: SemanticMap, out: Path) -> list[Position]:
    """Take the flight's own positions as they are, and write ``positions.jsonl``."""
    stage = StageFile(
        out / "positions.jsonl", {"flight": flight.digest, "map": map_digest(ground), "given": True}
    )

    def work(row: int) -> dict[str, object]:
        latitude, longitude = (float(flight.table[name].iloc[row]) for name in ("lat", "lon"))
        x, y = ground.to_meters(latitude, longitude)
        return asdict(Position(flight.names[row], latitude, longitude, x, y, 0.0, latitude, longitude))

    return [Position(**record) for record in stage.run(flight.names, work)]


def label_flight(flight: Flight, labeler: Labeler, out: Path) -> list[Path]:
    """Label the ground in each frame; write ``ground/FRAME.png`` and ``ground.jsonl``.

    Raises:
        CrossbandError: a labeler of color images.
    """
    if labeler.band != "tir":
        raise CrossbandError(
            "the flight is thermal but this labeling network reads color; give one with model.band tir"
        )
    made_by = {"labeler": labeler.digest, "dtype": quick_dtype(device_of(labeler.network))}
    stage = StageFile(out / "ground.jsonl", {"flight": flight.digest, **made_by})
    folder = make_folder(out / "ground")

    def work(row: int) -> dict[str, str]:
        name = f"{row:06d}.png"
        write_png(folder / name, label_image(labeler, *flight.pixels(row)))
        return {"file": name}

    return [folder / record["file"] for record in stage.run(flight.names, work)]


def locate_flight(
    flight: Flight, ground: SemanticMap, labeler: Labeler, out: Path, radius: float = RADIUS
) -> list[Position]:
    """Localize the frames of a flight together and write ``positions.jsonl``.

    Frames of one ``sequence`` are one; without that column, all of them.

    Args:
        flight: with rough positions.
        ground: the map.
        labeler: of thermal images.
        out: the folder.
        radius: meters that are searched around each rough position.

    Raises:
        CrossbandError: a rough position off the map, or a labeler of color images.
    """
    rough = [
        ground.to_meters(float(lat), float(lon))
        for lat, lon in zip(flight.table["lat"], flight.table["lon"], strict=True)
    ]
    _check_over(rough, ground, radius)  # before anything is computed
    labels = label_flight(flight, labeler, out)
    stage = StageFile(
        out / "positions.jsonl",
        {
            "flight": flight.digest,
            "map": map_digest(ground),
            "labeler": labeler.digest,
            "dtype": quick_dtype(device_of(labeler.network)),
            "radius": radius,
            "together": True,
            "attitude": 3,  # how headings and altitudes are corrected; another number, another result
        },
    )
    if any(name not in stage.records for name in flight.names):
        estimates = _estimates(flight, ground, labels, radius)

    def work(row: int) -> dict[str, object]:
        (one, attitude), given = estimates[row], flight.table.iloc[row]
        latitude, longitude = ground.to_geographic(one.x, one.y)
        (east, between), (_, north) = one.covariance.tolist()
        found = Position(
            flight.names[row],
            latitude,
            longitude,
            one.x,
            one.y,
            one.confidence,
            float(given["lat"]),
            float(given["lon"]),
            [east, between, north],
            attitude.turn,
            attitude.scale,
        )
        return asdict(found)

    return [Position(**record) for record in stage.run(flight.names, work)]


def _check_over(rough: list[tuple[float, float]], ground: SemanticMap, radius: float) -> None:
    """Refuse a map that no frame is over, or a position far from it; say where it ends inside the flight."""
    width, height = ground.extent
    east, north = np.array(rough).T
    beside, above = np.maximum(-east, east - width), np.maximum(-north, north - height)
    away = np.hypot(beside.clip(min=0), above.clip(min=0))
    if away.min() > radius:
        low, high = (ground.latitude, ground.longitude), ground.to_geographic(width, height)
        given = ground.to_geographic(*rough[int(away.argmin())])
        raise CrossbandError(
            f"no frame of the flight is over the map: the nearest, at {given[0]:.6f}, {given[1]:.6f}, is "
            f"{away.min() / 1000:.1f} km off it; it reaches from {low[0]:.6f}, {low[1]:.6f} to {high[0]:.6f}, "
            f"{high[1]:.6f}; give the map of that place",
            parameter="map",
        )
    if away.max() > _FAR:
        given = ground.to_geographic(*rough[int(away.argmax())])
        raise CrossbandError(
            f"a frame's position, {given[0]:.6f}, {given[1]:.6f}, is {away.max() / 1000:.1f} km off the map, "
            "which other frames are over; correct it in the flight's table, or leave the frame out",
            parameter="where",
        )
    if beyond := int((away > radius).sum()):
        note(
            f"the map ends inside the flight: {beyond} of {len(rough)} frames are off it, and are placed by "
            "how the aircraft moved"
        )


def _estimates(
    flight: Flight, ground: SemanticMap, labels: list[Path], radius: float
) -> dict[int, tuple[Estimate, Attitude]]:
    """The positions of all rows, sequence by sequence, and what is wrong with their headings and altitudes."""
    found: dict[int, tuple[Estimate, Attitude]] = {}
    agreed: list[tuple[float, float]] = []
    for rows in flight.sequences():
        attitude = _attitude(flight, ground, labels, radius, rows)
        seen, motions, poses, before = [], [], [], None
        for row in track(rows, len(rows), "comparing with the map", "frames"):
            pixels, _ = flight.pixels(row)
            pose = attitude.correct(flight.pose(row, ground, (pixels.shape[0], pixels.shape[1])))
            poses.append(pose)
            seen.append(agreement(read_image(labels[row]).pixels, pose, ground, radius))
            if before is not None:
                known = Motion(pose.x - before[1].x, pose.y - before[1].y, _DRIFT)
                motions.append(ground_motion(*before, pixels, pose, known))
            before = (pixels, pose)
        together = locate_sequence(seen, motions)
        for row, pose, one in zip(rows, poses, together, strict=True):
            wider = replace(one, covariance=one.covariance + remaining_error(pose))
            found[row] = wider, attitude
        agreed += [(float(one.values.max()), one.share) for one in seen]
    if len(agreed) >= 5 and (np.nanmean(agreed, axis=0) < (_AGREES, _ALIKE)).all():
        note(
            "the frames agree with the map no better than with that of another place: is it the map of this "
            "town, and are the rough positions within the radius?"
        )
    return found


def _attitude(
    flight: Flight, ground: SemanticMap, labels: list[Path], radius: float, rows: list[int]
) -> Attitude:
    """What is wrong with the headings and altitudes of a sequence; said where it is much."""
    chosen = attitude_rows(rows)
    seen = [read_image(labels[row]).pixels for row in chosen]
    poses = []
    for row in chosen:
        pixels, _ = flight.pixels(row)
        poses.append(flight.pose(row, ground, (pixels.shape[0], pixels.shape[1])))
    found = estimate_attitude(seen, poses, ground, radius)
    said = []
    if abs(found.turn) >= _TURNED:
        said.append(f"headings are corrected by {found.turn:+.0f} degrees")
    if abs(found.scale - 1) >= _RAISED:
        said.append(f"altitudes are corrected by {100 * (found.scale - 1):+.0f} %")
    if said:
        more = "; no more is searched: is it the map of this town?" if found.at_the_end else ""
        note(f"from frame {flight.names[rows[0]]} on, {' and '.join(said)}, by the map{more}")
    return found
