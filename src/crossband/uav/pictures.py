"""Objects in thermal pictures, folders of them and videos, wherever they come from: no map, no positions.

==================================  ===========================================================================
``detections.jsonl``                 what a run goes on from: ``frame``, ``size``, ``boxes``, ``meters``
``detections.csv``                   a row a box: frame, class, score, corners in pixels, track
``detections.json``                  COCO: images, categories, and annotations with scores
``detections.geojson``               of a manifest with positions: a point an object
``FRAME.jpg``, ``annotated.mp4``     the picture with its boxes; of a video, all its frames
==================================  ===========================================================================

A run over other pictures, or by other settings, replaces the tables, and says so; pictures of other names stay.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import PIL.Image
import torch
from torchvision.ops import nms

from ..bands import Units
from ..data.scenes import zoomed
from ..datasets import open_frames
from ..datasets.check import usable_frames
from ..devices import choose_device, device_of, quick_dtype
from ..engines import IN_PROCESS, Engine
from ..errors import CrossbandError, ImageFault
from ..files import make_folder, write_file
from ..frames import Frames, find_manifest
from ..geo import write_points
from ..io import IMAGE_SUFFIXES, is_image_file, read_bytes
from ..io.images import decode_image
from ..models.packaged import checkpoint_for
from ..progress import note
from ..reports.boxes import draw_boxes
from ..results import Result
from ..stored import is_there, resolved
from ..streams import (
    StageFile,
    Stream,
    check_apart,
    common_span,
    file_state,
    is_in_color,
    open_stream,
    shown,
    span,
    write_video,
)
from ..weights import file_digest
from .flight import LARGEST_ZOOM, enlargement
from .networks import Detector, read_detector
from .object_points import object_points
from .picture_ground import COARSEST, ground_of_picture
from .tracking import join_boxes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Detected", "detect_pictures", "detect_pixels"]


@dataclass(frozen=True, repr=False)
class Detected(Result):
    """What was found in some pictures.

    Attributes:
        classes: their names.
        frames: the pictures' names; ``boxes`` of each ``(n, 6)``: left, top, right, bottom in pixels, score,
            class; ``tracks`` of each ``(n,)``, which object of the whole a box is.
        counts: objects of each class; of a sequence those seen in three frames or more, each once, but in
            pictures no fewer than the one with the most of them shows.
        out: the folder with the tables and pictures.
    """

    classes: list[str]
    frames: list[str]
    boxes: list[np.ndarray]
    tracks: list[np.ndarray]
    counts: dict[str, int]
    out: str

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"out", "counts", "boxes": [...]}``, one mapping for each box."""
        return {"out": self.out, "counts": self.counts, "boxes": self.to_pandas().to_dict("records")}

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each box, with its frame, class, score and track."""
        rows = [
            {
                "frame": frame,
                "class": self.classes[int(box[5])],
                "score": float(box[4]),
                "left": float(box[0]),
                "top": float(box[1]),
                "right": float(box[2]),
                "bottom": float(box[3]),
                "track": int(track),
            }
            for frame, boxes, tracks in zip(self.frames, self.boxes, self.tracks, strict=True)
            for box, track in zip(boxes, tracks, strict=True)
        ]
        columns = ["frame", "class", "score", "left", "top", "right", "bottom", "track"]
        return pd.DataFrame(rows, columns=columns)

    def plot(self) -> Figure:
        """Draw the scores of the objects by class, and how many there are of each."""
        from ..reports.result_plots import plot_detections

        return plot_detections(self.to_pandas().rename(columns={"class": "kind"}))


_Look = tuple[np.ndarray, Units, float | None]
"""Pixels, their units, and meters of ground that one shows, where somebody says it."""


@dataclass(frozen=True)
class _Source:
    """Pictures one after another; a sequence's boxes are joined to tracks."""

    names: list[str]
    files: list[str]  # the paths by which they were found, of a video the names
    look: Callable[[int], _Look]
    sequence: bool
    stream: Stream | None = None  # of a video
    table: pd.DataFrame | None = None  # of a manifest


_NOTHING: Mapping[str, Any] = MappingProxyType({})
_LEAST_WIDTH = 560  # pixels of a drawn picture
_VEHICLES = frozenset({"car", "othervehicle", "vehicle", "truck", "bus", "van"})
_SAME_VEHICLE = 0.6  # IoU above which two boxes of vehicles are one, as within a class
_USUAL_WIDTH = 640  # pixels of thermal cameras in the air, HIT-UAV's among them


def detect_pixels(
    detector: Detector,
    pixels: np.ndarray,
    units: Units | str = "counts",
    least: float = 0.3,
    meters: float | None = None,
) -> np.ndarray:
    """Find objects in one thermal image, ``(n, 6)``, best first.

    A row is left, top, right, bottom in pixels, score, class; a vehicle has one box, of its likeliest class.
    Where nobody says how much ground a pixel shows, an image that is narrower than those of the cameras which
    the detector knows is taken for one of theirs with fewer pixels, and enlarged.

    Args:
        detector: of :func:`crossband.uav.networks.read_detector`.
        pixels: ``(H, W)``; of more channels the mean of the first three counts.
        units: of the pixels.
        least: score below which nothing is an object.
        meters: of ground that a pixel shows.
    """
    gray = pixels if pixels.ndim == 2 else pixels[..., :3].astype(np.float32).mean(-1)
    device = next(detector.network.parameters()).device
    zoom = enlargement(detector.zoom, detector.finest, meters)
    if detector.finest is not None and meters is None:
        zoom = max(zoom, min(_USUAL_WIDTH / gray.shape[1], LARGEST_ZOOM))
    image = zoomed(detector.image(gray, units), zoom)[None].to(device)
    boxes = detector.network.detect(image, least)[0].cpu().numpy()
    boxes[:, :4] /= zoom
    return _one_class_a_vehicle(boxes, detector.classes)


def _one_class_a_vehicle(boxes: np.ndarray, classes: list[str]) -> np.ndarray:
    """Drop a vehicle's box on a better one of another kind; a rider and a bicycle are two objects."""
    rows = np.flatnonzero([classes[int(kind)].casefold() in _VEHICLES for kind in boxes[:, 5]])
    corners, scores = torch.from_numpy(boxes[rows, :4]), torch.from_numpy(boxes[rows, 4])
    kept = nms(corners, scores, _SAME_VEHICLE).numpy()
    return np.delete(boxes, np.delete(rows, kept), 0)


def detect_pictures(
    source: str | Path | Sequence[str | Path],
    checkpoint: str | Path | None = None,
    out: str | Path = "detected",
    *,
    least: float = 0.3,
    units: str | None = None,
    meters: float | None = None,
    device: str = "cpu",
    engine: Engine = IN_PROCESS,
) -> Detected:
    """Find objects in thermal pictures, a folder or manifest of them, or a video; it resumes.

    Args:
        source: a file or a folder, whose pictures go in the order of their names and are taken for a sequence
            where all are of one size and at least half of the boxes recur in another; or several pictures,
            which are not.
        checkpoint: of a detection that reads no map; the packaged network without.
        out: the folder to write, see the module.
        least: score below which nothing is an object.
        units: of thermal pixels, where the files do not say.
        meters: of ground that a pixel shows, the same in all pictures; without, as far as a manifest (its
            columns altitude, focal and pitch) or a picture says it: its height by DJI's or FLIR's XMP, its
            focal length by DJI's or EXIF.
        device: where the network runs.
        engine: who finds them and draws the pictures.

    Raises:
        CrossbandError: nothing to read, an image that cannot be read, or a network that needs a map.
    """
    if meters is not None and not 0 < meters <= COARSEST:
        raise CrossbandError(f"a pixel shows more than 0 m and at most {COARSEST:g} m, not {meters:g} m")
    path = checkpoint_for("detection", checkpoint)
    detector = read_detector(path, device)
    if detector.reads_map:
        raise CrossbandError(
            f"{path} reads a map's labeling beside the image; give a flight, its map and the models instead",
            parameter="map",
        )
    sources = _each_once([source] if isinstance(source, str | Path) else source)
    pictures = _open(sources[0], units) if len(sources) == 1 else _open_several(sources, units)
    places = [resolved(one) for one in sources]
    made_from = {
        "source": places[0] if len(places) == 1 else places,
        "frames": pictures.names if pictures.stream is None else len(pictures.names),
        "state": [file_state(one) for one in sources],
        "detector": file_digest(path),
        "least": least,
        "units": units,
        "dtype": quick_dtype(device_of(detector.network)),
        "width": None if detector.finest is None else _USUAL_WIDTH,
        "meters": meters if meters is not None else "as the manifest or the pictures say",
        "vehicles": _SAME_VEHICLE,
    }
    alone = pictures.stream is None  # each picture is drawn into a file
    drawn_as = [f"{_plain(name)}.jpg" for name in pictures.names] if alone else ["annotated.mp4"]
    check_apart(Path(out), sources, drawn_as)
    folder = make_folder(out)
    stage = StageFile(folder / "detections.jsonl", made_from)
    if stage.replaced:
        note(f"{folder} held another run's boxes, which are replaced; choose another folder to keep both")
    stage.records = {name: one for name, one in stage.records.items() if "boxes" in one}

    def work(row: int) -> dict[str, Any]:
        try:
            pixels, kind, ground = pictures.look(row)
        except ImageFault as fault:
            return {"left_out": str(fault)}
        ground = ground if meters is None else meters
        boxes = detect_pixels(detector, pixels, kind, least, ground)
        if alone:
            drawn = _drawn(pixels, boxes, detector.classes)
            place = folder / drawn_as[row]
            write_file(place, lambda partial: drawn.save(partial, quality=92))
        return {
            "size": list(pixels.shape[:2]),
            "boxes": boxes.round(4).tolist(),
            "meters": ground,
            "color": is_in_color(pixels),
            "span": None if alone else span(pixels),
        }

    records = stage.run(pictures.names, work, engine, gpu=choose_device(device) != "cpu", rate=True)
    pictures, records, rows = _read(pictures, records)
    boxes = [np.array(record["boxes"], float).reshape(-1, 6) for record in records]
    sizes = [record["size"] for record in records]
    if meters is None:
        _say_ground([record.get("meters") for record in records])
    _say_color([name for name, record in zip(pictures.names, records, strict=True) if record.get("color")])
    found = _joined(detector.classes, pictures, boxes, sizes, folder)
    write_file(folder / "detections.csv", lambda partial: found.to_pandas().to_csv(partial, index=False))
    write_file(folder / "detections.json", json.dumps(_coco(found, pictures.files, sizes)))
    table = pictures.table
    points = None if table is None else object_points(table, boxes, found.tracks, sizes, found.classes)
    write_points(folder / "detections.geojson", points)
    if pictures.stream is not None:
        spans = [record.get("span") for record in records]
        _write_video(pictures.stream, rows, found, spans, folder / "annotated.mp4")
    return found


def _read(pictures: _Source, records: list[dict[str, Any]]) -> tuple[_Source, list[dict[str, Any]], list[int]]:
    """The pictures that could be read, their records and numbers; the others are said."""
    rows = [row for row, record in enumerate(records) if "boxes" in record]
    faults = [record["left_out"] for record in records if "boxes" not in record]
    for fault in faults:
        note(f"left out: {fault}")
    if not rows:
        raise CrossbandError(f"none of {len(records)} pictures can be read: {faults[0]}")
    kept = replace(
        pictures,
        names=[pictures.names[row] for row in rows],
        files=[pictures.files[row] for row in rows],
        table=None if pictures.table is None else pictures.table.iloc[rows],
    )
    return kept, [records[row] for row in rows], rows


def _say_ground(told: list[float | None]) -> None:
    """Say how much ground a pixel shows, as far as the pictures told it."""
    known = [f"{100 * one:.3g}" for one in told if one is not None]
    if known:
        low, high = min(known, key=float), max(known, key=float)
        size = f"{low} cm" if low == high else f"{low} to {high} cm"
        pictures = "the picture says" if len(told) == 1 else f"{len(known)} of {len(told)} pictures say"
        note(f"{pictures} that a pixel shows {size} of ground, and what is searched is enlarged by it")


def _say_color(names: list[str]) -> None:
    if names:
        pictures = f"{names[0]} is" if len(names) == 1 else f"{len(names)} pictures, first {names[0]}, are"
        note(
            f"{pictures} in color, and the detector knows thermal pictures in which what is hot is white; "
            "export a palette as white hot; photographs are not what it was trained on"
        )


def _joined(
    classes: list[str],
    pictures: _Source,
    boxes: list[np.ndarray],
    sizes: list[list[int]],
    folder: Path,
) -> Detected:
    """The boxes with their tracks: of a sequence, an object has one over its pictures."""
    video = pictures.stream is not None
    tracks, counts = join_boxes(classes, boxes, sizes, sequence=pictures.sequence, video=video)
    return Detected(classes, pictures.names, boxes, tracks, counts, str(folder))


def _each_once(given: Sequence[str | Path]) -> list[Path]:
    """Each file as it was named first, whatever else it is called."""
    first: dict[str, Path] = {}
    for one in given:
        first.setdefault(resolved(one), Path(one))
    return list(first.values())


def _open(source: Path, units: str | None) -> _Source:
    if (stream := open_stream(source)) is not None:
        return _of_stream(stream, units)
    if not source.is_dir() and is_there(source) and is_image_file(source):
        return _of_files([source], units, sequence=False)
    if source.is_dir() and find_manifest(source) is None:
        files = sorted(file for file in source.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if files:
            return _of_files(files, units, sequence=True)
    _check_there(source)
    frames = _frames(source)
    paths = frames.paths("tir") if frames.has("tir") else []
    kept = [row for row, path in enumerate(paths) if path is not None]
    if not kept:
        raise CrossbandError(f"{source} has no thermal pictures; objects are detected in those")
    frames = usable_frames(frames.select(np.array(kept)), ["tir"])
    said, known = frames.units(), frames.table.filter(items=["altitude", "focal", "pitch"])
    files = [path for path in frames.paths("tir") if path is not None]

    def look(row: int) -> _Look:
        return _look(files[row], units or said[row], known.iloc[row])

    return _Source(frames.names, frames.table["tir"].tolist(), look, sequence=False, table=frames.table)


def _frames(source: Path) -> Frames:
    try:
        return open_frames(source)
    except CrossbandError:
        if source.is_dir() and find_manifest(source) is None and not _holds_pictures(source):
            raise CrossbandError(f"no pictures in {source}; name a folder that has some") from None
        raise


def _holds_pictures(folder: Path) -> bool:
    return any(file.suffix.lower() in {*IMAGE_SUFFIXES, ".tar"} for file in folder.rglob("*"))


def _check_there(source: Path) -> None:
    if not is_there(source):
        raise CrossbandError(f"no picture, folder or video at {source}; name one that is there")


def _look(file: Path, units: Units | str | None, known: Mapping[str, Any] | pd.Series = _NOTHING) -> _Look:
    data = read_bytes(file)
    image = decode_image(data, file, "tir", units)
    return image.pixels, image.units, ground_of_picture(data, image.size, known)


def _open_several(sources: list[Path], units: str | None) -> _Source:
    """Pictures named one by one."""
    if not sources:
        raise CrossbandError("no pictures are given; name one, a folder, or a video")
    for source in sources:
        _check_there(source)
        if source.is_dir() or not is_image_file(source):
            raise CrossbandError(
                f"{source} is not a picture; give a folder, a video or a flight as the only SOURCE"
            )
    return _of_files(sources, units, sequence=False)


def _names(files: Sequence[Path]) -> list[str]:
    """The pictures' names; where two of them have one stem, with their suffixes and folders."""
    names = [file.stem for file in files]
    if len({name.casefold() for name in names}) < len(names):
        root = os.path.commonpath([file.parent.absolute() for file in files])
        names = [os.path.relpath(file.absolute(), root) for file in files]
    first: dict[str, Path] = {}
    for file, name in zip(files, names, strict=True):
        if first.setdefault(_plain(name).casefold(), file) != file:
            raise CrossbandError(
                f"{first[_plain(name).casefold()]} and {file} would both be drawn into {_plain(name)}.jpg; "
                "rename one, or give each alone"
            )
    return names


def _of_files(files: Sequence[Path], units: str | None, sequence: bool) -> _Source:
    """The pictures that can be read; the others are said."""
    root = Path(os.path.commonpath([file.parent.absolute() for file in files]))
    paths = [os.path.relpath(file.absolute(), root) for file in files]
    table = pd.DataFrame({"frame": _names(files), "tir": paths, "tir_units": units}).astype("string")
    frames = usable_frames(Frames(table, root), ["tir"])
    kept = [path for path in frames.paths("tir") if path is not None]
    listed = frames.table["tir"].tolist()
    return _Source(frames.names, listed, lambda row: _look(kept[row], units), sequence)


def _of_stream(stream: Stream, units: str | None) -> _Source:
    """The frames of a video or of a file of several images."""

    def look(row: int) -> _Look:
        image = stream.image(row, units)
        return image.pixels, image.units, None

    return _Source(stream.names, stream.names, look, sequence=True, stream=stream)


def _drawn(
    pixels: np.ndarray,
    boxes: np.ndarray,
    classes: list[str],
    marks: list[str] | None = None,
    between: tuple[float, float] | None = None,
) -> PIL.Image.Image:
    """The boxes in the picture, enlarged by a whole number where it is too narrow for the legend."""
    times = -(-_LEAST_WIDTH // pixels.shape[1])
    large = shown(pixels, between).repeat(times, 0).repeat(times, 1)
    return draw_boxes(large, boxes * np.array([times] * 4 + [1, 1]), classes, marks)


def _plain(name: str) -> str:
    return name.replace("/", "_").replace("\\", "_")


def _coco(found: Detected, files: list[str], sizes: list[list[int]]) -> dict[str, Any]:
    annotations = [
        {
            "id": number + 1,
            "image_id": image,
            "category_id": int(box[5]) + 1,
            "score": round(float(box[4]), 4),
            "bbox": [round(float(v), 2) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])],
            "track_id": int(track),
        }
        for number, (image, box, track) in enumerate(
            (image, box, track)
            for image, (boxes, tracks) in enumerate(zip(found.boxes, found.tracks, strict=True))
            for box, track in zip(boxes, tracks, strict=True)
        )
    ]
    images = [
        {"id": row, "file_name": name, "height": size[0], "width": size[1]}
        for row, (name, size) in enumerate(zip(files, sizes, strict=True))
    ]
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(found.classes)]
    return {"images": images, "categories": categories, "annotations": annotations}


def _write_video(
    stream: Stream, rows: list[int], found: Detected, spans: list[list[float] | None], path: Path
) -> None:
    """All frames with their boxes and tracks, deep values stretched alike in all of them."""
    between = common_span(spans)
    drawn = (
        np.asarray(_drawn(stream.image(row).pixels, boxes, found.classes, [str(n) for n in tracks], between))
        for row, boxes, tracks in zip(rows, found.boxes, found.tracks, strict=True)
    )
    write_video(path, drawn, stream.rate)
