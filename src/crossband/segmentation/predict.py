"""From a user's images to label maps, overlays and the share of each class."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import PIL.Image
import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band, parse_band
from ..checkpoints import complete_metadata, load_network, read_metadata
from ..data.preprocess import Placement, Preprocess, label_places, place_labels
from ..devices import choose_device, quick_arithmetic
from ..engines import IN_PROCESS, Engine
from ..errors import CrossbandError, ImageFault
from ..files import make_folder, write_file
from ..io import Image, Remark, RemarkLog, image_size, is_image_file, read_image, read_labels
from ..models import create_segmenter
from ..models.packaged import checkpoint_for
from ..nn.reparam import reparameterize
from ..progress import note, says_once, track
from ..results import Result, Rows
from ..rigs import RigTransform
from ..stored import is_there
from .classes import palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LoadedSegmenter", "Segmented", "load_segmenter", "segment"]

Paths = dict[Band, Path]


@dataclass(frozen=True)
class _Frame:
    """The images of a frame, its true labels where a manifest has them, and the rig where it keeps one."""

    paths: Paths
    labels: Path | None = None
    units: str | None = None
    rig: RigTransform | None = None
    places: Mapping[Band, Placement] = field(default_factory=dict)
    label_place: Placement | None = None


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
        overlay: the written picture.
        shares: percent of the image, by class; ``without`` the same by each band that was left out.
    """

    frame: str
    labels: str
    overlay: str
    shares: dict[str, float]
    without: dict[str, dict[str, float]]

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
        """Draw the written overlay."""
        from ..reports.plots import picture_figure

        return picture_figure(PIL.Image.open(self.overlay))


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
    tir: str | Path | None = None,
    nir: str | Path | None = None,
    units: str | None = None,
    without: str | Sequence[str] = (),
    compare: Mapping[str, str | Path] | None = None,
    device: str = "cpu",
    rig: str | Path | None = None,
    engine: Engine = IN_PROCESS,
) -> Rows[Segmented]:
    """Segment images and write label maps, overlays and ``segments.json``.

    ``OUT/NAME_labels.png``, ``OUT/NAME_overlay.png`` and ``OUT/segments.json``.

    Args:
        images: one or many pictures, folders of pairs, or manifests. A picture is the RGB image of its frame,
            or all of it where it has four channels (MFNet's layout).
        checkpoint: of a segmentation; the packaged network without.
        out: the folder to write.
        tir: the thermal image of the one picture, or the folder where its stem is found again.
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
    lost = [parse_band(band) for band in ([without] if isinstance(without, str) else without)]
    frames = _frames([images] if isinstance(images, str | Path) else images, {Band.TIR: tir, Band.NIR: nir})
    given = RigTransform.read(rig) if rig is not None else None
    checkpoint = checkpoint_for("segmentation", checkpoint)
    model = load_segmenter(checkpoint, device)
    rivals = {name: load_segmenter(path, device) for name, path in (compare or {}).items()}
    for name, rival in rivals.items():
        if rival.classes != model.classes:
            raise CrossbandError(
                f"{name} tells other classes apart than {checkpoint}; compare networks of one dataset"
            )
    lacking = sorted({band for one in frames.values() for band in model.bands if band not in one.paths})
    if lacking:
        note(f"some frames have no {', '.join(lacking)}; it is read as black, which costs accuracy")
    folder = make_folder(out)
    found: Rows[Segmented] = Rows()
    left_out: list[CrossbandError] = []
    stems, remarks = unique_stems(frames), RemarkLog()
    worker = partial(_Segmenter, model, rivals, _name_of(checkpoint), units, given, lost, folder)
    work = [(name, stems[name], frame) for name, frame in frames.items()]
    answers = engine.map(worker, work, block=8, gpu=choose_device(device) != "cpu")
    for answer in track(answers, len(frames), "segmenting"):
        left_out += answer.left_out
        for path, said in answer.remarks:
            remarks.add(path, said)
        if answer.found is not None:
            found.append(answer.found)
    for lost_one in left_out:
        note(f"left out: {lost_one}")
    remarks.say()
    if not found:
        raise CrossbandError(f"none of {len(frames)} frames can be segmented: {left_out[0]}")
    found.to_json(folder / "segments.json")
    return found


@dataclass
class _Answer:
    """What came of one frame: nothing where an image of it cannot be read."""

    found: Segmented | None = None
    left_out: list[CrossbandError] = field(default_factory=list)
    remarks: list[tuple[Path, tuple[Remark, ...]]] = field(default_factory=list)


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

    def __call__(self, frames: Iterable[tuple[str, str, _Frame]]) -> Iterator[_Answer]:
        read = {*self.model.bands, *(band for rival in self.rivals.values() for band in rival.bands)}
        for name, stem, frame in frames:
            answer = _Answer()
            try:
                pictures = _pictures(frame, read, self.units or frame.units, answer.remarks)
                pictures = _placed(pictures, self.rig or frame.rig, frame.paths, frame.places)
                truth = _truth(frame, answer.left_out)
                made = _segmented(self.model, name, stem, pictures, truth, self.lost, self.folder)
                self._compare(made, stem, pictures, truth)
                answer.found = made
            except ImageFault as fault:
                answer.left_out.append(fault)
            yield answer

    def _compare(
        self, made: Segmented, stem: str, pictures: dict[Band, Image], truth: np.ndarray | None
    ) -> None:
        """Write every network's answer side by side, where there are rivals."""
        if not self.rivals:
            return
        from .figure import comparison_sheet

        answers = {self.own_name: read_labels(made.labels)}
        answers |= {rival: one.labels(pictures) for rival, one in self.rivals.items()}
        sheet = comparison_sheet(pictures, answers, self.model.classes, truth)
        write_file(self.folder / f"{stem}_compared.png", lambda partial: sheet.save(partial))


def _name_of(checkpoint: str | Path) -> str:
    """What a checkpoint is called in a picture: its run's folder, or the file where that says nothing."""
    path = Path(checkpoint)
    return path.parent.name if path.stem == "best" and path.parent.name else path.stem


def _pictures(
    frame: _Frame,
    bands: Collection[Band],
    units: str | None,
    remarks: list[tuple[Path, tuple[Remark, ...]]],
) -> dict[Band, Image]:
    """The images of a frame that the network reads, each in its own depth."""
    found = {}
    for band, path in frame.paths.items():
        if band in bands:
            found[band] = read_image(path, band, units)
            remarks.append((path, found[band].remarks))
    if not found:
        some = next(iter(frame.paths.values()))
        raise ImageFault(some, f"its frame has none of the bands {', '.join(bands)}")
    return found


def _placed(
    pictures: dict[Band, Image],
    rig: RigTransform | None,
    paths: Paths,
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


def _truth(frame: _Frame, left_out: list[CrossbandError]) -> np.ndarray | None:
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


def _segmented(
    model: LoadedSegmenter,
    name: str,
    stem: str,
    pictures: dict[Band, Image],
    truth: np.ndarray | None,
    lost: list[Band],
    folder: Path,
) -> Segmented:
    from .figure import overlay_sheet

    labels = model.labels(pictures)
    others = {band: model.labels(pictures, [band]) for band in lost if band in pictures and len(pictures) > 1}
    files = folder / f"{stem}_labels.png", folder / f"{stem}_overlay.png"
    write_file(files[0], lambda path: _palette_image(labels, model.classes).save(path))
    further = {f"without {band}": other for band, other in others.items()}
    sheet = overlay_sheet(pictures, labels, model.classes, further, truth)
    write_file(files[1], lambda path: sheet.save(path))
    return Segmented(
        name,
        str(files[0]),
        str(files[1]),
        _shares(labels, model.classes),
        {band.value: _shares(other, model.classes) for band, other in others.items()},
    )


def _shares(labels: np.ndarray, classes: list[str]) -> dict[str, float]:
    counts = np.bincount(labels.reshape(-1), minlength=len(classes))
    return {name: 100 * int(count) / labels.size for name, count in zip(classes, counts, strict=True)}


def _palette_image(labels: np.ndarray, classes: list[str]) -> PIL.Image.Image:
    picture = PIL.Image.fromarray(labels)
    picture.putpalette(palette(classes).reshape(-1).tolist())
    return picture


def _frames(sources: Sequence[str | Path], beside: dict[Band, str | Path | None]) -> dict[str, _Frame]:
    """Every frame that is meant, by a unique name."""
    from ..datasets import open_frames

    found: dict[str, _Frame] = {}
    for source in map(Path, sources):
        if not source.is_dir() and is_there(source) and is_image_file(source):
            paths = {Band.RGB: source}
            with contextlib.suppress(ImageFault):  # said when its turn comes
                if read_image(source, Band.TIR).pixels.ndim < read_image(source).pixels.ndim == 3:
                    paths[Band.TIR] = source  # four channels, both bands
            paths |= {band: _partner(source, where) for band, where in beside.items() if where is not None}
            _add(found, source.stem, _Frame(paths))
            continue
        if is_image_file(source) and not source.exists():
            raise CrossbandError(f"no image at {source}; give an existing image, or a folder of pairs")
        frames = open_frames(source)
        units, rigs, places = frames.units(), frames.rigs(), Placement.of_frames(frames)
        labeled = label_places(frames)
        for row, name in enumerate(frames.names):
            each = {band: frames.paths(band)[row] for band in frames.bands}
            paths = {band: path for band, path in each.items() if path is not None}
            labels = frames.table["labels"].iloc[row] if frames.has("labels") else None
            truth = frames.root / labels if isinstance(labels, str) else None
            _add(found, name, _Frame(paths, truth, units[row], rigs[row], places[row], labeled[row]))
    if not found:
        raise CrossbandError("nothing to segment; give images, a folder of pairs, or a manifest")
    return found


def _add(found: dict[str, _Frame], name: str, frame: _Frame) -> None:
    if name in found:
        raise CrossbandError(f"two frames are called {name} and would share an output file; rename one")
    found[name] = frame


def _partner(image: Path, where: str | Path) -> Path:
    """The image of another band: the file itself, or the one with the same stem in a folder."""
    where = Path(where)
    if not where.is_dir():
        return where
    matches = sorted(p for p in where.iterdir() if p.stem == image.stem and is_image_file(p))
    if not matches:
        raise CrossbandError(f"{where} has no image called {image.stem}; give the file itself")
    return matches[0]
