"""Where each frame of a thermal flight was taken, from a folder of networks and a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import need_package
from ..files import make_folder
from ..progress import says_once
from ..results import Rows
from .flight import Beside, open_flight
from .networks import Networks
from .semantic_map import read_map
from .sequence_stage import RADIUS, locate_flight
from .stages import Position, check_radius
from .stages import localize as run_stage

__all__ = ["localize"]


@says_once
def localize(
    flight: str | Path,
    map: str | Path,
    models: str | Path | None = None,
    out: str | Path = "uav",
    *,
    radius: float | None = None,
    where: Mapping[str, Sequence[str]] | None = None,
    log: str | Path | None = None,
    clock: float | None = None,
    terrain: str | Path | None = None,
    lens: Sequence[float] | None = None,
    device: str = "cpu",
) -> Rows[Position]:
    """Find where each frame of a thermal flight was taken, from what the map says of the ground.

    With a folder of networks each frame is compared with tiles of the map by itself, as in the paper. Without
    one, the packaged network labels the frames, all places near are compared with the map at once, and the
    frames of a sequence are located together; positions then have a covariance.

    Args:
        flight: a folder of frames, or a video; see :mod:`.flight`.
        map: a folder with ``tiles.json``, or a georeferenced label raster.
        models: the folder of networks; see :mod:`.networks`; the packaged labeling without.
        out: the folder of ``positions.jsonl``; started again, it goes on.
        radius: meters searched around each rough position; the network's own, or 60, where ``None``.
        where: column of the flight's table -> values that are kept.
        log: a CSV table or GPX track of the aircraft, joined by time.
        clock: seconds to add to the frames' times to get the log's; found where ``None``.
        terrain: an elevation raster (GeoTIFF, meters); the ground is flat without.
        lens: distortion as OpenCV has it: k1, k2, p1, p2 and perhaps k3.
        device: ``cpu``, ``cuda`` or ``auto``.

    Returns:
        the position of each frame: degrees, meters on the map, and the confidence from 0 to 1.

    Raises:
        CrossbandError: a flight, map or network that is missing or wrong, or a rough position off the map.
    """
    check_radius(radius)
    networks, folder = Networks(None if models is None else Path(models), device), make_folder(out)
    networks.load("labeler", *(() if models is None else ("locator",)))
    frames = open_flight(
        flight,
        {name: list(kept) for name, kept in where.items()} if where else None,
        Beside(log, clock, terrain, lens),
    )
    ground = read_map(map)
    if models is None:
        need_package("cv2", "measuring the motion between frames", "uav")
        return Rows(locate_flight(frames, ground, networks.labeler, folder, radius or RADIUS))
    return Rows(run_stage(frames, ground, networks.labeler, networks.locator, folder, radius))
