"""From a user's images to label maps, overlays, the share of each class, and objects.

================================  ============================================================================
``segments.jsonl``                 what a run goes on from, a line a frame
``segments.json``                  a frame's label map, overlay, shares and objects
``segments.csv``                   a row a frame and class: share in percent, objects
``coco.json``                      COCO: the objects of countable classes, with masks and tracks
``segments.geojson``               of a manifest with ``lat`` and ``lon``: a point a frame, with its shares
``NAME_labels.png``                the classes' numbers, with a palette
``NAME_overlay.png``               the bands and the label map over them; of a video, ``annotated.mp4``
================================  ============================================================================

A run over other images, or by other settings, replaces the tables, and says so; pictures of other names stay.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import PIL.Image
import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band, parse_band
from ..checkpoints import complete_metadata, load_network, read_metadata
from ..data.preprocess import Placement, Preprocess, place_labels
from ..devices import choose_device, device_of, quick_arithmetic, quick_dtype
from ..engines import IN_PROCESS, Engine
from ..errors import CrossbandError, ImageFault
from ..files import make_folder, write_file
from ..geo import point_feature, write_points
from ..io import Image, Remark, RemarkLog, image_size, read_labels
from ..models import create_segmenter
from ..models.packaged import checkpoint_for
from ..nn.reparam import reparameterize
from ..progress import note, says_once, track
from ..results import Result, Rows
from ..rigs import RigTransform
from ..stored import resolved
from ..streams import StageFile, check_apart, common_span, file_state, shown, span, write_video
from ..uav.tracking import join_boxes
from ..weights import file_digest
from .classes import palette
from .figure import DARK, comparison_sheet, overlay_sheet, video_picture
from .objects import boxes_of, coco, countable, find_objects, share_table
from .sources import Frame, Source, check_there, open_source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LoadedSegmenter", "Segmented", "Segments", "load_segmenter", "segment"]

_VIDEO = "annotated.mp4"


@dataclass(frozen=True)
class LoadedSegmenter:
    """A trained segmentation network with all it needs to read images.

    Attributes:
        network: in evaluation mode, deployed.
        bands: what it reads, in this order.
        classes: their names, by number.
        preprocess: how each band becomes a tensor.
    """

    network: nn.Module
    bands: tuple[Band, ...]
    classes: list[str]
    preprocess: Preprocess

    def labels(self, images: dict[Band, Image], lost: Iterable[Band] = ()) -> np.ndarray:
        """Predict the label map of one frame, uint8 in the size of its first image.

        Args:
            images: the frame's images; a band that is not there is read as black.
            lost: bands to read as black although they are there.

        Raises:
            CrossbandError: none of the network's bands is there.
        """
        there = [band for band in self.bands if band in images and band not in set(lost)]
        if not there:
            raise CrossbandError(f"this network reads {', '.join(self.bands)}, and none of them is there")
        height, width = images[there[0]].size
        parts = []
        for band in self.bands:
            channels = 3 if band is Band.RGB else 1
            pixels = torch.zeros(channels, *self.preprocess.size)
            if band in there:
                pixels = self.preprocess.unit(images[band], band).expand(channels, -1, -1)[:channels]
            parts.append(pixels)
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            ready = self.preprocess.standardized(torch.cat(parts), self.bands)
            with quick_arithmetic(device):
                logits = self.network(ready[None].to(device)).float()
            if logits.shape[-2:] != (height, width):
                logits = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        return logits[0].argmax(0).to(torch.uint8).cpu().numpy()


@dataclass(frozen=True, repr=False)
class Segmented(Result):
    """What came of one frame.

    Attributes:
        frame: its name.
        labels: the written label map, a PNG with a palette.
        overlay: the written picture; of a video's frame the annotated video.
        shares: percent of the image, by class; ``without`` the same by each band that was left out.
        objects: how many of each countable class.
    """

    frame: str
    labels: str
    overlay: str
    shares: dict[str, float]
    without: dict[str, dict[str, float]]
    objects: dict[str, int] = field(default_factory=dict)

    def to_pandas(self) -> pd.DataFrame:
        """Return the share of each class that is there, percent; a row more for each band left out."""
        rows = [("", self.shares), *self.without.items()]
        return pd.DataFrame(
            [
                {
                    "frame": self.frame,
                    "without": band,
                    **{name: share for name, share in shares.items() if share},
                }
                for band, shares in rows
            ]
        )

    def plot(self) -> Figure:
        """Draw the written overlay, of a video's frame the label map."""
        from ..reports.plots import picture_figure

        drawn = self.labels if self.overlay.endswith(_VIDEO) else self.overlay
        return picture_figure(PIL.Image.open(drawn).convert("RGB"))


class Segments(Rows[Segmented]):
    """What came of all frames.

    Attributes:
        counts: objects of each countable class; of a sequence those seen in three frames or more, each once.
    """

    counts: Mapping[str, int] = MappingProxyType({})


def load_segmenter(checkpoint: str | Path, device: str = "cpu") -> LoadedSegmenter:
    """Load the network of a checkpoint of the task ``segmentation``, deployed.

    Raises:
        CrossbandError: no checkpoint, or one of another task.
    """
    metadata = read_metadata(checkpoint)
    recipe = metadata.get("recipe", {})
    if recipe.get("task") != "segmentation":
        raise CrossbandError(f"{checkpoint} is a checkpoint of the task {recipe.get('task')}, not segmentation")
    where = choose_device(device)
    with complete_metadata(checkpoint):
        bands = tuple(parse_band(band) for band in metadata["bands"])
        classes = [str(name) for name in metadata["classes"]]
        model = recipe["model"]
        network = create_segmenter(model["name"], len(classes), bands, options=model["options"])
        preprocess = Preprocess.from_description(metadata["preprocess"])
    load_network(checkpoint, network)
    return LoadedSegmenter(reparameterize(network.eval()).to(where), bands, classes, preprocess)


@says_once
def segment(
    images: str | Path | Sequence[str | Path],
    checkpoint: str | Path | None = None,
    out: str | Path = "segmented",
    *,
    band: Band | str | None = None,
    tir: str | Path | None = None,
    nir: str | Path | None = None,
    units: str | None = None,
    without: str | Sequence[str] = (),
    compare: Mapping[str, str | Path] | None = None,
    device: str = "cpu",
    rig: str | Path | None = None,
    engine: Engine = IN_PROCESS,
) -> Segments:
    """Segment pictures or a video and write label maps, overlays and tables; it resumes.

    ``OUT/NAME_labels.png``, ``OUT/NAME_overlay.png`` (of a video ``OUT/annotated.mp4``), ``OUT/segments.json``,
    ``.csv`` and ``.geojson`` (where a manifest has positions), and ``OUT/coco.json``.

    Args:
        images: one or many pictures, folders of pictures or of pairs, or manifests; or one video, also FLIR's
            SEQ and CSQ and a TIFF of pages. A picture is all of its frame where it has four channels (MFNet's
            layout).
        checkpoint: of a segmentation; the packaged network without.
        out: the folder to write.
        band: of pictures and videos that are not of pairs. Without, what has no colors is taken for thermal,
            which is said, and everything else for RGB.
        tir: the thermal image of the one picture, the folder where stems are found again, or the thermal video
            whose frames have the same numbers.
        nir: the same for near infrared.
        units: of thermal pixels.
        without: bands that are left out in a second pass, to see what they bring.
        compare: further checkpoints by a name each, of the same classes: ``OUT/NAME_compared.png`` then has the
            bands, the true labels where they are known, and every network's answer side by side.
        device: where the network runs.
        rig: a ``rig.json`` of :func:`crossband.matching.rig.fit_rig`: one band is shown as the other's camera
            would have seen it; frames of a manifest that keeps a rig need none.
        engine: who segments and writes the pictures.

    A frame with an image that cannot be read is left out, which is said; so is a true label map.

    Raises:
        CrossbandError: no frame that can be read, or a checkpoint of another task.
    """
    lost = [parse_band(one) for one in ([without] if isinstance(without, str) else without)]
    beside = {Band.TIR: tir, Band.NIR: nir}
    asked = [images] if isinstance(images, str | Path) else images
    check_there(asked)  # before a network is loaded
    checkpoint = checkpoint_for("segmentation", checkpoint)
    model = load_segmenter(checkpoint, device)
    source = open_source(asked, band, beside, Band.TIR in model.bands)
    given = RigTransform.read(rig) if rig is not None else None
    rivals = _rivals(model, checkpoint, compare or {}, device)
    frames = source.frames
    lacking = sorted({one for frame in frames.values() for one in model.bands if one not in frame.paths})
    if lacking:
        note(f"some frames have no {', '.join(lacking)}; it is read as black, which costs accuracy")
    stems = unique_stems(frames)
    read = [Path(one) for one in (*asked, *(where for where in beside.values() if where is not None))]
    written = [f"{stem}_{what}.png" for stem in stems.values() for what in ("labels", "overlay", "compared")]
    check_apart(Path(out), read, [_VIDEO] if source.streams else written)
    folder = make_folder(out)
    worker = _Segmenter(model, rivals, _name_of(checkpoint), units, given, lost, folder, bool(source.streams))
    made_from = {
        "frames": {name: frame.describe() for name, frame in frames.items()},
        "streams": {
            one.value: [resolved(stream.path), file_state(stream.path), len(stream)]
            for one, stream in source.streams.items()
        },
        "checkpoint": file_digest(checkpoint),
        "compare": {name: file_digest(path) for name, path in (compare or {}).items()},
        "settings": [units, lost, None if given is None else given.text],
        "dtype": quick_dtype(device_of(model.network)),
    }
    stage = StageFile(folder / "segments.jsonl", made_from)
    if stage.replaced:
        note(f"{folder} held another run's label maps, which are replaced; choose another folder to keep both")
    stage.records = {name: one for name, one in stage.records.items() if _are_there(one, folder)}
    work = [(name, stems[name], frame) for name, frame in frames.items()]
    gpu = choose_device(device) != "cpu"
    records = stage.run(frames, lambda row: worker(*work[row]), engine, gpu=gpu, rate=True)
    _say(records)
    kept = [record for record in records if "labels" in record]
    if not kept:
        raise CrossbandError(f"none of {len(frames)} frames can be segmented: {records[0]['left_out'][0]}")
    found = _found(kept, model.classes, folder)
    found.counts = _write_tables(found, kept, model.classes, model.bands, source, folder)
    if source.streams:
        _write_annotated(kept, worker, source, folder / _VIDEO)
    return found


def _rivals(
    model: LoadedSegmenter, checkpoint: str | Path, compare: Mapping[str, str | Path], device: str
) -> dict[str, LoadedSegmenter]:
    """The further networks, which tell the same classes apart."""
    rivals = {name: load_segmenter(path, device) for name, path in compare.items()}
    for name, rival in rivals.items():
        if rival.classes != model.classes:
            raise CrossbandError(
                f"{name} tells other classes apart than {checkpoint}; compare networks of one dataset"
            )
    return rivals


def _are_there(record: Mapping[str, Any], folder: Path) -> bool:
    """Whether nothing of a frame was left out, and the pictures that its record says were written are there."""
    written = record.get("files", ())
    return not record["left_out"] and bool(written) and all((folder / name).is_file() for name in written)


def _say(records: Sequence[Mapping[str, Any]]) -> None:
    """Say what was left out and what is to be known of the images."""
    remarks = RemarkLog()
    for record in records:
        for reason in record["left_out"]:
            note(f"left out: {reason}")
        for path, said in record["remarks"]:
            remarks.add(Path(path), [Remark(*one) for one in said])
    remarks.say()


def _found(records: Sequence[Mapping[str, Any]], classes: list[str], folder: Path) -> Segments:
    found = Segments()
    for record in records:
        objects = dict.fromkeys(countable(classes), 0)
        for one in record["objects"]:
            objects[classes[one["class"]]] += 1
        paths = str(folder / record["labels"]), str(folder / record["overlay"])
        found.append(Segmented(record["frame"], *paths, record["shares"], record["without"], objects))
    return found


def _write_tables(
    found: Segments,
    records: Sequence[Mapping[str, Any]],
    classes: list[str],
    bands: Sequence[Band],
    source: Source,
    folder: Path,
) -> dict[str, int]:
    """Write the tables; returns how many objects of each countable class there are."""
    objects = [record["objects"] for record in records]
    boxes, sizes = [boxes_of(one) for one in objects], [record["size"] for record in records]
    video = bool(source.streams)
    tracks, counts = join_boxes(classes, boxes, sizes, sequence=source.sequence, video=video)
    names = [record["frame"] for record in records]
    shares = {record["frame"]: record["shares"] for record in records}
    table = share_table(shares, dict(zip(names, objects, strict=True)), classes)
    found.to_json(folder / "segments.json")
    write_file(folder / "segments.csv", lambda partial: table.to_csv(partial, index=False))
    files = names if video else _files([source.frames[name] for name in names], bands)
    write_file(folder / "coco.json", json.dumps(coco(files, sizes, objects, tracks, classes)))
    write_points(folder / "segments.geojson", _points(found, source))
    return {name: counts[name] for name in countable(classes)}


def _points(found: Segments, source: Source) -> list[dict[str, Any]] | None:
    """The frames' positions with the shares of the classes, ``None`` where a manifest says none."""
    points = []
    for one in found:
        place = source.frames[one.frame].position
        if place is not None:
            shares = {name: round(share, 4) for name, share in one.shares.items() if share}
            points.append(point_feature(place, {"frame": one.frame, "position": "of the camera", **shares}))
    return points or None


def _files(frames: Sequence[Frame], bands: Sequence[Band]) -> list[str]:
    """The image of each frame whose size its label map has, below the folder that all lie in."""
    files = [next(frame.paths[band] for band in bands if band in frame.paths) for frame in frames]
    root = os.path.commonpath([file.parent.absolute() for file in files])
    return [Path(os.path.relpath(file.absolute(), root)).as_posix() for file in files]


def _write_annotated(
    records: Sequence[Mapping[str, Any]], worker: _Segmenter, source: Source, path: Path
) -> None:
    """Draw the label maps over the video: over its thermal frames where most of it is too dark."""
    dark = np.mean([record["dark"] for record in records]) > 0.5
    streams, classes = source.streams, worker.model.classes
    ground = Band.TIR if dark or Band.RGB not in streams else Band.RGB
    ground = ground if ground in streams else next(iter(streams))
    between = common_span([record["spans"].get(ground) for record in records])
    there = [kind for kind, name in enumerate(classes) if any(record["shares"][name] for record in records)]

    def drawn() -> Iterator[np.ndarray]:
        for record in track(records, len(records), "drawing", "frames"):
            image = worker.placed(source.frames[record["frame"]], {ground}, [])[ground]
            labels = read_labels(worker.folder / record["labels"])
            yield video_picture(shown(image.pixels, between), labels, classes, there)

    write_video(path, drawn(), streams[ground].rate)


@dataclass(frozen=True)
class _Segmenter:
    """Segments frames, each with the stem of its files, and writes these."""

    model: LoadedSegmenter
    rivals: dict[str, LoadedSegmenter]
    own_name: str
    units: str | None
    rig: RigTransform | None
    lost: list[Band]
    folder: Path
    video: bool

    def __call__(self, name: str, stem: str, frame: Frame) -> dict[str, Any]:
        """Return the record of a frame: what was written, and what is to be said of it."""
        read = {*self.model.bands, *(band for rival in self.rivals.values() for band in rival.bands)}
        left_out: list[CrossbandError] = []
        remarks: list[tuple[str, tuple[Remark, ...]]] = []
        made: dict[str, Any] = {}
        try:
            pictures = self.placed(frame, read, remarks)
            truth = _truth(frame, left_out)
            made = self._segmented(stem, pictures, truth)
        except ImageFault as fault:
            left_out.append(fault)
        return {**made, "left_out": [str(one) for one in left_out], "remarks": remarks}

    def placed(
        self, frame: Frame, bands: Collection[Band], remarks: list[tuple[str, tuple[Remark, ...]]]
    ) -> dict[Band, Image]:
        """Read a frame's images of some bands, each in its own depth, turned and cut as is said."""
        pictures = _pictures(frame, bands, self.units or frame.units, remarks)
        return _placed(pictures, self.rig or frame.rig, frame.paths, frame.places)

    def _segmented(self, stem: str, pictures: dict[Band, Image], truth: np.ndarray | None) -> dict[str, Any]:
        labels, classes = self.model.labels(pictures), self.model.classes
        several = len(pictures) > 1
        others = {
            band: self.model.labels(pictures, [band]) for band in self.lost if band in pictures and several
        }
        written = self.folder / f"{stem}_labels.png"
        write_file(written, lambda path: _palette_image(labels, classes).save(path))
        files = [written.name]
        if not self.video:
            files.append(self._overlay(stem, pictures, labels, others, truth))
        if self.rivals:
            files.append(self._compare(stem, pictures, labels, truth))
        return {
            "labels": files[0],
            "overlay": _VIDEO if self.video else files[1],
            "files": files,
            "size": list(labels.shape),
            "shares": _shares(labels, classes),
            "without": {band.value: _shares(other, classes) for band, other in others.items()},
            "objects": find_objects(labels, classes),
            "dark": Band.RGB in pictures and float(pictures[Band.RGB].pixels.mean()) < DARK,
            "spans": {band.value: span(image.pixels) for band, image in pictures.items() if self.video},
        }

    def _overlay(
        self,
        stem: str,
        pictures: dict[Band, Image],
        labels: np.ndarray,
        others: dict[Band, np.ndarray],
        truth: np.ndarray | None,
    ) -> str:
        """Write the bands and the label maps over them."""
        further = {f"without {band}": other for band, other in others.items()}
        sheet = overlay_sheet(pictures, labels, self.model.classes, further, truth)
        return write_file(
            self.folder / f"{stem}_overlay.png", lambda path: sheet.save(path, compress_level=1)
        ).name

    def _compare(
        self, stem: str, pictures: dict[Band, Image], labels: np.ndarray, truth: np.ndarray | None
    ) -> str:
        """Write every network's answer side by side."""
        answers = {self.own_name: labels}
        answers |= {rival: one.labels(pictures) for rival, one in self.rivals.items()}
        sheet = comparison_sheet(pictures, answers, self.model.classes, truth)
        return write_file(self.folder / f"{stem}_compared.png", lambda partial: sheet.save(partial)).name


def _name_of(checkpoint: str | Path) -> str:
    """What a checkpoint is called in a picture: its run's folder, or the file where that says nothing."""
    path = Path(checkpoint)
    return path.parent.name if path.stem == "best" and path.parent.name else path.stem


def _pictures(
    frame: Frame,
    bands: Collection[Band],
    units: str | None,
    remarks: list[tuple[str, tuple[Remark, ...]]],
) -> dict[Band, Image]:
    """The images of a frame that the network reads, each in its own depth."""
    found = {}
    for band, path in frame.paths.items():
        if band in bands:
            found[band] = frame.image(band, units)
            remarks.append((str(path), found[band].remarks))
    if not found:
        some = next(iter(frame.paths.values()))
        raise ImageFault(some, f"its frame has none of the bands {', '.join(bands)}")
    return found


def _placed(
    pictures: dict[Band, Image],
    rig: RigTransform | None,
    paths: Mapping[Band, Path],
    places: Mapping[Band, Placement],
) -> dict[Band, Image]:
    """The images of a frame: one as a rig's first camera would have seen it, each turned and cut as is said."""
    found = {}
    for band, image in pictures.items():
        try:
            pixels = rig(image.pixels) if rig is not None and band is rig.second else image.pixels
            found[band] = replace(image, pixels=places[band](pixels) if band in places else pixels)
        except CrossbandError as error:
            raise ImageFault(paths[band], str(error), parameter=error.parameter) from None
    return found


def _truth(frame: Frame, left_out: list[CrossbandError]) -> np.ndarray | None:
    """The true labels, where there are any that can be read, turned and cut as the frame's images are."""
    if frame.labels is None:
        return None
    try:
        sizes = {band: image_size(path) for band, path in frame.paths.items()} if frame.places else {}
        return place_labels(read_labels(frame.labels), frame.label_place, frame.places, sizes)
    except ImageFault as fault:
        left_out.append(fault)
    except CrossbandError as error:
        left_out.append(ImageFault(frame.labels, str(error)))
    return None


def unique_stems(names: Iterable[str]) -> dict[str, str]:
    """Return a file's stem for each frame: its name, folders as ``_``, numbered where two would be one.

    Example:
        >>> unique_stems(["a/b", "a_b", "A_b~2"])
        {'a/b': 'a_b', 'a_b': 'a_b~2', 'A_b~2': 'A_b~2~2'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = name.replace("/", "_")
        tried = itertools.chain([plain], (f"{plain}~{number}" for number in itertools.count(2)))
        found[name] = next(stem for stem in tried if stem.casefold() not in taken)  # some disks know no case
        taken.add(found[name].casefold())
    return found


def _shares(labels: np.ndarray, classes: list[str]) -> dict[str, float]:
    counts = np.bincount(labels.reshape(-1), minlength=len(classes))
    return {name: 100 * int(count) / labels.size for name, count in zip(classes, counts, strict=True)}


def _palette_image(labels: np.ndarray, classes: list[str]) -> PIL.Image.Image:
    picture = PIL.Image.fromarray(labels)
    picture.putpalette(palette(classes).reshape(-1).tolist())
    return picture
