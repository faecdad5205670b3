"""Objects in the frames of a thermal flight, from a folder of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import CrossbandError, need_package
from ..files import make_folder
from ..progress import says_once
from ..results import Result, Rows
from .flight import Beside, open_flight
from .networks import Networks
from .semantic_map import read_map
from .stages import align, check_radius, localize
from .stages import detect as run_stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Detection", "detect"]


@dataclass(frozen=True, repr=False)
class Detection(Result):
    """One object.

    Attributes:
        frame: where it is seen.
        kind: its class.
        score: 0 to 1.
        left, top, right, bottom: of its box, pixels of the frame.
    """

    frame: str
    kind: str
    score: float
    left: float
    top: float
    right: float
    bottom: float

    @staticmethod
    def draw(table: pd.DataFrame) -> Figure:
        """Draw the scores of some objects by class, and how many there are of each."""
        from ..reports.result_plots import plot_detections

        return plot_detections(table)


@says_once
def detect(
    flight: str | Path,
    models: str | Path | None = None,
    map: str | Path | None = None,
    out: str | Path = "uav",
    *,
    least: float = 0.2,
    radius: float | None = None,
    where: Mapping[str, Sequence[str]] | None = None,
    log: str | Path | None = None,
    clock: float | None = None,
    terrain: str | Path | None = None,
    lens: Sequence[float] | None = None,
    device: str = "cpu",
) -> Rows[Detection]:
    """Detect objects in the frames of a thermal flight.

    Args:
        flight: a folder of frames, or a video; see :mod:`.flight`.
        models: the folder of networks; see :mod:`.networks`; the packaged ones without.
        map: see :func:`crossband.localize`; for a network that reads it.
        out: the folder of ``detections.jsonl``; started again, it goes on.
        least: score of an object, at least.
        radius: meters searched around each rough position, where the map is read.
        where: column of the flight's table -> values that are kept.
        log: a CSV table or GPX track of the aircraft, joined by time.
        clock: seconds to add to the frames' times to get the log's; found where ``None``.
        terrain: an elevation raster (GeoTIFF, meters); the ground is flat without.
        lens: distortion as OpenCV has it: k1, k2, p1, p2 and perhaps k3.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        CrossbandError: a flight, map or network that is missing or wrong.
    """
    check_radius(radius)
    networks, labels = Networks(None if models is None else Path(models), device), None
    if networks.detector.reads_map:
        if map is None:
            raise CrossbandError(
                "this detector reads the map's labeling; give the map and the networks that find the place",
                parameter="map",
            )
        need_package("cv2", "laying the map's labeling onto images", "uav")
        networks.load("labeler", "locator")
    frames = open_flight(
        flight,
        {name: list(kept) for name, kept in where.items()} if where else None,
        Beside(log, clock, terrain, lens),
    )
    folder = make_folder(out)
    if networks.detector.reads_map and map is not None:
        ground = read_map(map)
        positions = localize(frames, ground, networks.labeler, networks.locator, folder, radius)
        labels = align(frames, ground, positions, networks.labeler, folder)
    names = networks.detector.classes
    return Rows(
        Detection(frame, names[int(box[5])], float(box[4]), *(float(side) for side in box[:4]))
        for frame, boxes in zip(
            frames.names, run_stage(frames, networks.detector, folder, labels, least), strict=True
        )
        for box in boxes
    )
