"""What is to be segmented: pictures, folders of one band or of pairs, manifests, videos of one band or two."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bands import Band, parse_band
from ..data.preprocess import Placement, label_places
from ..datasets import images_by_stem, open_frames
from ..errors import CrossbandError, ImageFault
from ..frames import Frames, find_manifest
from ..io import Image, is_image_file, read_image
from ..progress import note
from ..rigs import RigTransform
from ..stored import is_there, resolved
from ..streams import VIDEO_SUFFIXES, Pages, Stream, file_state, is_plain_gray, open_stream

__all__ = ["Frame", "Source", "check_there", "open_source"]

_LOOKED_AT = 5  # pictures of a folder, to see whether it is in color


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        paths: its image of each band; of a video's frame the videos.
        labels: its true labels, where a manifest has them.
        units: of its thermal pixels, where a manifest says them.
        rig: of its cameras, where a manifest keeps one.
        places: how the images of a band are turned and cut, and ``label_place`` how the labels are.
        streams: the videos that it is a frame of.
        row: its number in them.
        position: latitude and longitude, degrees, where a manifest has them.
    """

    paths: Mapping[Band, Path]
    labels: Path | None = None
    units: str | None = None
    rig: RigTransform | None = None
    places: Mapping[Band, Placement] = field(default_factory=dict)
    label_place: Placement | None = None
    streams: Mapping[Band, Stream] = field(default_factory=dict)
    row: int = 0
    position: tuple[float, float] | None = None

    def image(self, band: Band, units: str | None) -> Image:
        """Read its image of a band, in its own depth.

        Raises:
            ImageFault: it cannot be read.
        """
        if band in self.streams:
            return self.streams[band].image(self.row, units)
        return read_image(self.paths[band], band, units)

    def describe(self) -> list[Any]:
        """Return all that its label map depends on, as JSON holds it: files by their size and time.

        Of a video's frame only its number: the video is described once.
        """
        if self.streams:
            return [self.row]
        images = {band.value: [resolved(path), file_state(path)] for band, path in self.paths.items()}
        labels = None if self.labels is None else [str(self.labels), file_state(self.labels)]
        rig = None if self.rig is None else self.rig.text
        return [images, labels, self.units, rig, repr(self.places), repr(self.label_place)]


@dataclass(frozen=True)
class Source:
    """Frames by unique names.

    Attributes:
        frames: the frames.
        sequence: whether they may be one: a folder of pictures of one band, or a video.
        streams: of a video, the file of each band.
    """

    frames: dict[str, Frame]
    sequence: bool = False
    streams: Mapping[Band, Stream] = field(default_factory=dict)


def check_there(given: Iterable[str | Path]) -> None:
    """Check that whatever is named as an image is there.

    Raises:
        CrossbandError: it is not.
    """
    for source in map(Path, given):
        if is_image_file(source) and not is_there(source):
            raise CrossbandError(f"no image at {source}; give an existing image, or a folder of pairs")


def open_source(
    given: Sequence[str | Path],
    band: Band | str | None,
    beside: Mapping[Band, str | Path | None],
    thermal: bool = True,
) -> Source:
    """Open what is to be segmented.

    Args:
        given: pictures, folders and manifests, or one video.
        band: of pictures that stand alone; without it, those without colors are taken for thermal images, which
            is said, and the others for RGB.
        beside: the image, folder or video of a further band.
        thermal: whether thermal images are known to who reads; without, nothing is taken for one.

    Raises:
        CrossbandError: nothing there, nothing of that kind, or two frames of one name.
    """
    own = None if band is None else parse_band(band)
    others = {other: Path(where) for other, where in beside.items() if where is not None}
    if own in others:
        raise CrossbandError(f"two {own} images are given for each frame; leave one out", parameter="band")
    sources = [Path(one) for one in given]
    check_there(sources)
    own = own or (None if thermal else Band.RGB if _are_pictures(sources) else None)
    if len(sources) == 1 and (stream := open_stream(sources[0])) is not None:
        pages = isinstance(stream.reader, Pages) and others  # of which a picture beside takes the first
        if not pages or all(open_stream(where) is not None for where in others.values()):
            return _of_streams(stream, own, others)
    found: dict[str, Frame] = {}
    gray: list[Path] = []
    single = False
    for source in sources:
        if source.suffix.lower() in VIDEO_SUFFIXES and source.is_file():
            raise CrossbandError(f"{source} is a video; give it as the only source")
        if not source.is_dir() and is_there(source) and is_image_file(source):
            frames = _of_picture(source, own, others, gray)
        else:
            listed = _opened(source)
            single = listed is None and len(sources) == 1
            frames = _of_folder(source, own, others, gray) if listed is None else _listed(source, listed, own)
        for name, frame in frames:
            if name in found:
                raise CrossbandError(f"two frames are called {name} and would share an output file; rename one")
            found[name] = frame
    if not found:
        raise CrossbandError("nothing to segment; give images, a folder of pairs, or a manifest")
    _say_gray(gray)
    return Source(found, sequence=single)


def _are_pictures(sources: Sequence[Path]) -> bool:
    """Whether all are single files, not manifests and folders, which say their bands themselves."""
    return all(source.is_file() and find_manifest(source) is None for source in sources)


def _of_streams(stream: Stream, band: Band | None, others: Mapping[Band, Path]) -> Source:
    """The frames of a video, and of the videos beside it, by their numbers."""
    gray: list[Path] = []
    own = band or _band_of(stream.path, stream.in_color or bool(others), gray)
    _say_gray(gray)
    streams = {own: stream}
    for other, where in others.items():
        if (beside := open_stream(where)) is None:
            raise CrossbandError(f"{where} is no video, as {stream.path} is; give the {other} video of it")
        streams[other] = beside
    counts = [len(one) for one in streams.values()]
    if len(set(counts)) > 1:
        told = " and ".join(f"{one.path.name} {len(one)}" for one in streams.values())
        note(f"{told} frames: the first {min(counts)} are paired, the others left out")
    paths = {one: two.path for one, two in streams.items()}
    names = stream.names[: min(counts)]
    frames = {name: Frame(paths, streams=streams, row=row) for row, name in enumerate(names)}
    return Source(frames, sequence=True, streams=streams)


def _of_picture(
    source: Path, band: Band | None, others: Mapping[Band, Path], gray: list[Path]
) -> Iterator[tuple[str, Frame]]:
    paths = {band or Band.RGB: source}
    if band is None:
        with contextlib.suppress(ImageFault):  # said when its turn comes
            pixels = read_image(source).pixels
            if read_image(source, Band.TIR).pixels.ndim < pixels.ndim == 3:
                paths[Band.TIR] = source  # four channels, both bands
            elif not others:
                paths = {_band_of(source, not is_plain_gray(pixels), gray): source}
    paths |= {other: _partner(source, where) for other, where in others.items()}
    yield source.stem, Frame(paths)


def _opened(source: Path) -> Frames | None:
    """The frames of a manifest or a folder of pairs; ``None`` of a folder of pictures of one band."""
    try:
        return open_frames(source)
    except CrossbandError:
        bare = source.is_dir() and find_manifest(source) is None
        if not bare or any(path.is_dir() for path in source.iterdir()) or not images_by_stem(source):
            raise
    return None


def _of_folder(
    folder: Path, band: Band | None, others: Mapping[Band, Path], gray: list[Path]
) -> Iterator[tuple[str, Frame]]:
    files = images_by_stem(folder)
    if band is None and not others:
        some = list(files.values())[:: max(len(files) // _LOOKED_AT, 1)]
        band = _band_of(folder, any(_has_colors(path) for path in some), gray)
    for name, path in files.items():
        paths = {band or Band.RGB: path}
        paths |= {other: _partner(path, where) for other, where in others.items()}
        yield name, Frame(paths)


def _has_colors(path: Path) -> bool:
    """Whether a picture can be read and has colors."""
    try:
        return not is_plain_gray(read_image(path).pixels)
    except ImageFault:
        return False


def _band_of(source: Path, in_color: bool, gray: list[Path]) -> Band:
    if in_color:
        return Band.RGB
    gray.append(source)
    return Band.TIR


def _say_gray(gray: list[Path]) -> None:
    """Say of what has no colors that it is taken for thermal."""
    if len(gray) == 1:
        image, it = ("thermal images", "they are") if gray[0].is_dir() else ("a thermal image", "it is")
        note(f"{gray[0].name} has no colors: taken for {image}; the band rgb if {it} not")
    elif gray:
        note(
            f"{len(gray)} sources, first {gray[0].name}, have no colors: taken for thermal images; the band "
            "rgb if they are not"
        )


def _listed(source: Path, frames: Frames, band: Band | None) -> Iterator[tuple[str, Frame]]:
    """The frames of a manifest, or of a folder of pairs."""
    if band is not None:
        raise CrossbandError(
            f"{source} says itself which bands its frames have; leave the band out", parameter="band"
        )
    units, rigs, places = frames.units(), frames.rigs(), Placement.of_frames(frames)
    labeled, positions = label_places(frames), _positions(frames.table)
    for row, name in enumerate(frames.names):
        each = {one: frames.paths(one)[row] for one in frames.bands}
        paths = {one: path for one, path in each.items() if path is not None}
        labels = frames.table["labels"].iloc[row] if frames.has("labels") else None
        truth = frames.root / labels if isinstance(labels, str) else None
        frame = Frame(paths, truth, units[row], rigs[row], places[row], labeled[row])
        yield name, replace(frame, position=positions[row])


def _positions(table: Any) -> list[tuple[float, float] | None]:
    """Latitude and longitude of each row, where it has both."""
    if not {"lat", "lon"} <= set(table):
        return [None] * len(table)
    values = table[["lat", "lon"]].astype(float).to_numpy()
    return [(float(lat), float(lon)) if np.isfinite([lat, lon]).all() else None for lat, lon in values]


def _partner(image: Path, where: Path) -> Path:
    """The image of another band: the file itself, or the one with the same stem in a folder."""
    if not where.is_dir():
        return where
    matches = sorted(p for p in where.iterdir() if p.stem == image.stem and is_image_file(p))
    if not matches:
        raise CrossbandError(f"{where} has no image called {image.stem}; give the file itself")
    return matches[0]
