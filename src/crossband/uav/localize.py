"""Where each frame of a thermal flight was taken, from a folder of networks and a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import make_folder
from ..progress import says_once
from ..results import Rows
from .flight import open_flight
from .networks import Networks
from .semantic_map import read_map
from .stages import Position
from .stages import localize as run_stage

__all__ = ["localize"]


@says_once
def localize(
    flight: str | Path,
    map: str | Path,
    models: str | Path,
    out: str | Path = "uav",
    *,
    radius: float | None = None,
    where: Mapping[str, Sequence[str]] | None = None,
    device: str = "cpu",
) -> Rows[Position]:
    """Find where each frame of a thermal flight was taken, from what the map says of the ground.

    Args:
        flight: a folder of frames, or a video; see :mod:`.flight`.
        map: a folder with ``tiles.json``, or a georeferenced label raster.
        models: the folder of networks; see :mod:`.networks`.
        out: the folder of ``positions.jsonl``; started again, it goes on.
        radius: meters searched around each rough position; the network's own where ``None``.
        where: column of the flight's table -> values that are kept.
        device: ``cpu``, ``cuda`` or ``auto``.

    Returns:
        the position of each frame: degrees, meters on the map, and the confidence from 0 to 1.

    Raises:
        CrossbandError: a flight, map or network that is missing or wrong, or a rough position off the map.
    """
    networks, folder = Networks(Path(models), device), make_folder(out)
    networks.load("labeler", "locator")
    frames = open_flight(flight, {name: list(kept) for name, kept in where.items()} if where else None)
    ground = read_map(map)
    found = run_stage(frames, ground, networks.labeler, networks.locator, folder, radius)
    return Rows(found)
