"""The stages over a flight, each a function with a file contract: run alone or in a chain, cached, resumed.

==================  ==========================================================================================
``positions.jsonl``  localize: ``frame``, ``lat``, ``lon``, ``x``, ``y``, ``confidence``, ``rough_lat``,
``rough_lon``
``labels/``          align: ``FRAME.png``, the map's labeling laid onto each frame, 8 bits
``labels.jsonl``     align: ``frame``, ``file``, ``moved`` (mean of the flow, pixels)
``detections.jsonl`` detect: ``frame``, ``boxes`` (left, top, right, bottom in pixels, score, class)
==================  ==========================================================================================

A stage that is started again goes on, see :class:`~crossband.streams.StageFile`.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import torch

from ..bands import Units
from ..data.scenes import resized, thermal_input, zoomed
from ..devices import device_of, quick_dtype
from ..errors import CrossbandError
from ..files import make_folder, write_file
from ..io import read_image
from ..results import Result
from ..streams import StageFile
from .align import align_labels
from .flight import Flight, enlargement
from .ground_classes import OBJECT, UNKNOWN
from .networks import Detector, Labeler, Locator
from .projection import Pose, ground_patch
from .semantic_map import SemanticMap
from .tasks.detection import semantic_planes
from .tiles import TileIndex

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = [
    "Position",
    "StageFile",
    "align",
    "check_radius",
    "detect",
    "label_image",
    "localize",
    "localize_image",
    "map_digest",
    "open_tiles",
]


@dataclass(frozen=True, repr=False)
class Position(Result):
    """Where a frame was taken.

    Attributes:
        frame: its name.
        lat, lon: of the aircraft, degrees.
        x, y: meters east and north of the map's corner.
        confidence: how much farther the best other place is, 0 to 1.
        rough_lat, rough_lon: what was given.
        covariance: variance east, covariance, variance north, square meters; ``None`` where a single frame was
            compared with tiles, which does not tell.
        turn: degrees clockwise to add to the heading that was given.
        scale: what to multiply the altitude that was given by.
    """

    frame: str
    lat: float
    lon: float
    x: float
    y: float
    confidence: float
    rough_lat: float
    rough_lon: float
    covariance: list[float] | None = None
    turn: float = 0.0
    scale: float = 1.0

    def pose(self, given: Pose) -> Pose:
        """Return a frame's pose, as it was given, with what is known better."""
        return given.moved(self.x, self.y).turned(self.turn, self.scale)

    @staticmethod
    def draw(table: pd.DataFrame) -> Figure:
        """Draw some positions on the map, and how far from the rough ones they are."""
        from ..reports.result_plots import plot_positions

        return plot_positions(table)

    def plot(self) -> Figure:
        """Draw it on the map, and how far from the rough one it is."""
        return self.draw(self.to_pandas())


def label_image(labeler: Labeler, pixels: np.ndarray, units: Units | str = "counts") -> np.ndarray:
    """Label one image, uint8 ``(H, W)``.

    Each pixel is an index of :data:`~crossband.uav.ground_classes.LABELS`.

    Args:
        labeler: the network.
        pixels: thermal ``(H, W)``, or color ``(H, W, 3)`` where the network reads color.
        units: of thermal pixels.
    """
    if labeler.band == "tir":
        image = thermal_input(pixels, units)
    else:
        top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
        image = torch.from_numpy(pixels[..., :3].astype(np.float32) / top).permute(2, 0, 1)
    device = next(labeler.network.parameters()).device
    with torch.inference_mode():
        found = labeler.network.label(zoomed(image, labeler.zoom)[None].to(device))[0].cpu()
    return resized(found, (pixels.shape[0], pixels.shape[1])).numpy().astype(np.uint8)


def open_tiles(locator: Locator, ground: SemanticMap, folder: Path) -> TileIndex:
    """Open the tiles of a map, computed once for each map and network.

    The tiles are kept in a gallery below ``folder``.
    """
    digest = hashlib.sha256(
        ground.labels.tobytes() + repr((ground.meters, locator.digest)).encode()
    ).hexdigest()
    place = folder / f"tiles-{digest[:16]}"
    if (place / "whole").is_file():
        return TileIndex.read(place, locator.tile)
    device = str(next(locator.network.parameters()).device)
    index = TileIndex.build(ground, locator.network, locator.tile, locator.stride, device)
    index.write(make_folder(place), ground)
    write_file(place / "whole", f"{len(index.positions)} tiles\n")
    return index


def localize_image(
    labels: np.ndarray, pose: Pose, ground: SemanticMap, tiles: TileIndex, locator: Locator, radius: float
) -> tuple[float, float, float]:
    """Localize a camera from the labels of its image.

    Args:
        labels: uint8 ``(H, W)``.
        pose: its rough pose in the map's meters.
        ground: the map.
        tiles: of the map.
        locator: the distance.
        radius: meters around the rough position that are searched.

    Returns:
        meters east and north, and the confidence.

    Raises:
        CrossbandError: the rough position is off the map, or no tile is that near.
    """
    ground.check_near(pose.x, pose.y, radius)
    plain = np.where(labels == OBJECT, UNKNOWN, labels).astype(np.uint8)
    patch = ground_patch(plain, pose, locator.tile, locator.network.pixels, UNKNOWN)
    device = next(locator.network.parameters()).device
    with torch.inference_mode():
        vector = locator.network(torch.from_numpy(patch)[None].to(device))[0].cpu().numpy()
    at = pose.looks_at
    found = tiles.search(vector, *at, radius, locator.prior)
    best = found.positions[0]
    return float(pose.x + best[0] - at[0]), float(pose.y + best[1] - at[1]), found.confidence


def check_radius(radius: float | None) -> None:
    """Check a search radius before anything is read.

    Raises:
        CrossbandError: it is not more than 0.

    Example:
        >>> check_radius(-5)
        Traceback (most recent call last):
        ...
        crossband.errors.CrossbandError: radius must be more than 0, not -5
    """
    if radius is not None and not radius > 0:
        raise CrossbandError(f"radius must be more than 0, not {radius:g}", parameter="radius")


def localize(
    flight: Flight,
    ground: SemanticMap,
    labeler: Labeler,
    locator: Locator,
    out: Path,
    radius: float | None = None,
) -> list[Position]:
    """Localize each frame of a flight by itself, by the distance of tiles, and write ``positions.jsonl``.

    Args:
        flight: with rough positions.
        ground: the map.
        labeler: of thermal images.
        locator: the distance of tiles.
        out: the folder.
        radius: meters that are searched around each rough position; the locator's own where ``None``.

    Raises:
        CrossbandError: a rough position off the map, or a labeler of color images.
    """
    if labeler.band != "tir":
        raise CrossbandError(
            "the flight is thermal but this labeling network reads color; give one with model.band tir"
        )
    reach = locator.radius if radius is None else radius
    for row in range(len(flight)):  # before anything is computed
        ground.check_near(*ground.to_meters(*flight.table[["lat", "lon"]].iloc[row].astype(float)), reach)
    tiles = open_tiles(locator, ground, out)
    stage = StageFile(
        out / "positions.jsonl",
        {
            "flight": flight.digest,
            "map": map_digest(ground),
            "labeler": labeler.digest,
            "locator": locator.digest,
            "radius": reach,
        },
    )

    def work(row: int) -> dict[str, Any]:
        pixels, units = flight.pixels(row)
        pose = flight.pose(row, ground, (pixels.shape[0], pixels.shape[1]))
        x, y, confidence = localize_image(
            label_image(labeler, pixels, units), pose, ground, tiles, locator, reach
        )
        latitude, longitude = ground.to_geographic(x, y)
        rough = flight.table[["lat", "lon"]].iloc[row].astype(float)
        found = Position(
            flight.names[row], latitude, longitude, x, y, confidence, float(rough["lat"]), float(rough["lon"])
        )
        return asdict(found)

    return [Position(**record) for record in stage.run(flight.names, work)]


def align(
    flight: Flight, ground: SemanticMap, positions: list[Position], labeler: Labeler, out: Path
) -> list[Path]:
    """Align the map's labels to each frame; write ``labels/FRAME.png`` and ``labels.jsonl``.

    Args:
        flight: the frames.
        ground: the map.
        positions: of :func:`localize`.
        labeler: of thermal images: what they show themselves is what the map is laid onto.
        out: the folder.
    """
    stage = StageFile(
        out / "labels.jsonl",
        {
            "flight": flight.digest,
            "map": map_digest(ground),
            "positions": [asdict(p) for p in positions],
            "labeler": labeler.digest,
            "dtype": quick_dtype(device_of(labeler.network)),
        },
    )
    folder = make_folder(out / "labels")

    def work(row: int) -> dict[str, Any]:
        pixels, units = flight.pixels(row)
        pose = flight.pose(row, ground, (pixels.shape[0], pixels.shape[1]))
        expected = ground.seen_by(positions[row].pose(pose))
        seen = label_image(labeler, pixels, units) if labeler.band == "tir" else None
        aligned = align_labels(expected, pixels.astype(np.float32), seen)
        name = f"{row:06d}.png"
        write_png(folder / name, aligned.labels)
        return {"file": name, "moved": float(np.hypot(aligned.flow[..., 0], aligned.flow[..., 1]).mean())}

    return [folder / record["file"] for record in stage.run(flight.names, work)]


def detect(
    flight: Flight,
    detector: Detector,
    out: Path,
    labels: list[Path] | None = None,
    least: float = 0.2,
) -> list[np.ndarray]:
    """Detect objects in each frame and write ``detections.jsonl``.

    Args:
        flight: the frames.
        detector: the network.
        out: the folder.
        labels: of :func:`align`; needed by a network with semantic channels.
        least: score below which nothing is an object.

    Returns:
        of each frame ``(n, 6)``: left, top, right, bottom in pixels, score, class.

    Raises:
        CrossbandError: a network with semantic channels and no labels.
    """
    if detector.reads_map and labels is None:
        raise CrossbandError(
            "this detector reads the map's labeling; give the map and the networks that find the place",
            parameter="map",
        )
    upstream = None
    if detector.reads_map and labels:
        upstream = (labels[0].parents[1] / "labels.jsonl").read_text(encoding="utf-8").partition("\n")[0]
    device = next(detector.network.parameters()).device
    stage = StageFile(
        out / "detections.jsonl",
        {
            "flight": flight.digest,
            "detector": detector.digest,
            "labels": upstream,
            "least": least,
            "finest": detector.finest,
            "dtype": quick_dtype(device),
        },
    )

    def work(row: int) -> dict[str, Any]:
        image = detector.image(*flight.pixels(row))
        if detector.reads_map and labels is not None:
            image = torch.cat([image, semantic_planes(read_image(labels[row]).pixels)])
        zoom = enlargement(detector.zoom, detector.finest, flight.meters_a_pixel(row))
        boxes = detector.network.detect(zoomed(image, zoom)[None].to(device), least)[0].cpu().numpy()
        boxes[:, :4] /= zoom
        return {"boxes": boxes.round(4).tolist()}

    return [np.array(record["boxes"], float).reshape(-1, 6) for record in stage.run(flight.names, work)]


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """Write 8- or 16-bit gray pixels without loss."""
    buffer = BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    data = buffer.getvalue()
    return write_file(path, lambda partial: partial.write_bytes(data))


def map_digest(ground: SemanticMap) -> str:
    """Return what a map is told by: SHA-256 of its labels and its place."""
    place = repr((ground.meters, ground.latitude, ground.longitude)).encode()
    return hashlib.sha256(ground.labels.tobytes() + place).hexdigest()
