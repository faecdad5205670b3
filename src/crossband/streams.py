"""Frames one after another: of videos, radiometric sequences and TIFFs of many pages; and runs over them.

==================  ===========================================================================================
``Stream``           a file of several images, read forward: a video, FLIR's SEQ and CSQ, a TIFF of pages
``StageFile``        ``NAME.jsonl``, a line a frame, from which a run that was killed goes on
``write_video``      drawn frames as ``annotated.mp4``, at the source's own rate
==================  ===========================================================================================

The first line of a ``.jsonl`` says what it was made from. A stage that is started again goes on after the last
whole line; when what it is made from has changed, it starts anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .bands import Normalization, Units, parse_units
from .engines import IN_PROCESS, Engine
from .errors import CrossbandError, ImageFault
from .files import make_folder, write_file
from .io import MAX_PIXELS, Image, read_bytes
from .io.flir import fff_frames, is_fff, read_kelvin
from .io.pillow import upright
from .io.tiff import is_tiff, page_count, read_tiff
from .io.video import read_video, video_rate
from .progress import note, track
from .stored import resolved, stored_file

__all__ = [
    "USUAL_RATE",
    "VIDEO_SUFFIXES",
    "Pages",
    "StageFile",
    "Stream",
    "check_apart",
    "common_span",
    "file_state",
    "is_in_color",
    "is_plain_gray",
    "open_stream",
    "shown",
    "span",
    "write_video",
]

VIDEO_SUFFIXES = frozenset({".avi", ".mkv", ".mp4", ".mov", ".m4v", ".ts", ".mpg"})
USUAL_RATE = Fraction(30)
"""Frames a second of what has no clock of its own."""

_GRAY = 8.0  # how far apart the channels of 0 to 255 of a gray picture are on average, at most
_GRAY_VIDEO = 4.0  # the same of a video that its codec has tinted
_MOST_FRAMES = 100_000  # of a SEQ or CSQ
_LONGEST = 8190  # pixels of a side of MPEG-4
_RATES = (1, 240)  # frames a second that a video is written at


class Pages:
    """The images of a TIFF, SEQ, CSQ or FFF: pages as they are stored, radiometric frames in kelvin.

    Args:
        path: the file.
        masked: whether pixels that a TIFF declares to hold no data become NaN.

    Raises:
        CrossbandError: it cannot be read, or is none of them.
    """

    def __init__(self, path: Path, masked: bool = False) -> None:
        self._path, self._masked, self._data = path, masked, read_bytes(path)
        self.radiometric = is_fff(self._data)
        try:
            self._places = fff_frames(self._data) if self.radiometric else []
            if len(self._places) > _MOST_FRAMES:
                raise ValueError(f"it has {len(self._places)} frames, more than {_MOST_FRAMES}")
            self._count = len(self._places) if self.radiometric else page_count(self._data)
        except Exception as error:  # whatever a decoder throws at a damaged file
            raise ImageFault(path, str(error)) from None

    def __len__(self) -> int:
        return self._count

    def read(self, row: int) -> np.ndarray:
        """Read one image.

        Raises:
            ImageFault: it is damaged.
            CrossbandError: it is in a color space that is not read.
        """
        try:
            if self.radiometric:
                return read_kelvin(self._data[slice(*self._places[row])])
            pixels, turned, _ = read_tiff(self._data, MAX_PIXELS, masked=self._masked, page=row)
        except Exception as error:  # as above
            raise ImageFault(f"{self._path}, image {row}", str(error)) from None
        if pixels is None:
            raise CrossbandError(f"{self._path}: pages in a color space that is not read; convert it to RGB")
        return upright(pixels, turned)


class _Video:
    """The frames of a video, decoded once to be counted, then as they are asked for, forward."""

    def __init__(self, path: Path) -> None:
        self._path, self._count, self.in_color = path, 0, False
        for pixels in read_video(path):
            if self._count & (self._count - 1) == 0:  # 0, 1, 2, 4, 8, ...: the first may be black
                self.in_color = self.in_color or is_in_color(pixels, _GRAY_VIDEO)
            self._count += 1
        self._forget()

    def _forget(self) -> None:
        self._frames: Iterator[np.ndarray] = iter(())
        self._at, self._last = -1, np.empty(0)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the decoder, which no other process can have."""
        kept = {name: value for name, value in vars(self).items() if name not in ("_frames", "_last")}
        return {**kept, "_at": -1}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def __len__(self) -> int:
        return self._count

    def read(self, row: int) -> np.ndarray:
        if self._at < 0 or row < self._at:
            self._frames, self._at = read_video(self._path), -1
        while self._at < row:
            frame = next(self._frames, None)
            if frame is None:
                raise CrossbandError(f"{self._path} ends before its frame {row}; is it still being written?")
            self._last, self._at = frame, self._at + 1
        return self._last


@dataclass(frozen=True)
class Stream:
    """The frames of a file of several images.

    Attributes:
        path: the file.
        rate: frames a second.
        units: what a pixel counts, where the file says it.
        in_color: whether its frames have colors.
        reader: gives a frame by its number, quickest in order.
    """

    path: Path
    rate: Fraction
    units: Units | None
    in_color: bool
    reader: _Video | Pages = field(repr=False)

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def names(self) -> list[str]:
        """What the frames are called: their numbers, from 0."""
        return [f"{row:06d}" for row in range(len(self))]

    def image(self, row: int, units: Units | str | None = None) -> Image:
        """Return a frame; ``units`` are its pixels' where the file does not say them."""
        return Image(self.reader.read(row), self.units or parse_units(units or "counts"))


def open_stream(path: str | Path) -> Stream | None:
    """Open a video, FLIR's SEQ or CSQ, or a TIFF of several pages.

    ``None`` is for whatever else is at a path.

    Raises:
        CrossbandError: a video that cannot be read, or one without frames.

    Example:
        >>> open_stream("gone.mp4") is None
        True
    """
    path = Path(path)
    if not path.is_file():
        return None
    if path.suffix.lower() in VIDEO_SUFFIXES:
        video = _Video(path)
        if not len(video):
            raise CrossbandError(f"{path} has no frames; give another video")
        return Stream(path, video_rate(path) or USUAL_RATE, None, video.in_color, video)
    with open(path, "rb") as file:
        head = file.read(64)
    if not is_tiff(head) and not is_fff(head):
        return None
    try:
        pages = Pages(path, masked=True)
    except ImageFault:  # said of the picture that it is then taken for
        return None
    if len(pages) < 2:
        return None
    first = next(_readable(pages), None)
    if first is None:
        return None
    color = not pages.radiometric and not is_plain_gray(first)
    return Stream(path, USUAL_RATE, Units.KELVIN if pages.radiometric else None, color, pages)


def _readable(pages: Pages) -> Iterator[np.ndarray]:
    """The images that can be read, but none of a file in a color space that only pictures are read in."""
    for row in range(len(pages)):
        try:
            yield pages.read(row)
        except ImageFault:
            continue
        except CrossbandError:
            return


def file_state(path: Path) -> list[int] | None:
    """Return bytes and time of change of a file on this machine's disk, ``None`` of whatever else."""
    if stored_file(path) is not None or not path.is_file():
        return None
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def check_apart(folder: Path, sources: Iterable[Path], written: Iterable[str]) -> None:
    """Check that no source is overwritten, nor a folder written into that is read.

    Args:
        folder: what is written to.
        sources: what is read.
        written: names of files in the folder.

    Raises:
        CrossbandError: they are not apart.
    """
    files = {resolved(folder / name) for name in written} | {resolved(folder)}
    for source in sources:
        if resolved(source) in files:
            raise CrossbandError(
                f"what is written into {folder} would meet {source}, which is read; choose another folder",
                parameter="out",
            )


def is_in_color(pixels: np.ndarray, least: float = _GRAY) -> bool:
    """Tell whether a picture has colors: a photograph, or thermal values in a palette.

    Args:
        pixels: ``(H, W)`` or ``(H, W, 3 or 4)``.
        least: how far apart the channels of 0 to 255 are on average, at least.

    Example:
        >>> gray = np.full((4, 4, 3), 90, np.uint8)
        >>> is_in_color(gray), is_in_color(gray * np.array([1, 0, 2], np.uint8))
        (False, True)
    """
    if pixels.ndim == 2 or pixels.shape[-1] < 3 or pixels.dtype != np.uint8:
        return False
    channels = pixels[..., :3].astype(np.int16)
    return float(np.ptp(channels, axis=-1).mean()) > least


def is_plain_gray(pixels: np.ndarray) -> bool:
    """Tell whether a picture has one channel, or three of 8 bits that are equal.

    Example:
        >>> is_plain_gray(np.zeros((4, 4), np.uint16)), is_plain_gray(np.zeros((4, 4, 3), np.uint16))
        (True, False)
    """
    return pixels.ndim == 2 or (pixels.dtype == np.uint8 and not is_in_color(pixels, 1.0))


class StageFile:
    """Records of frames in a ``.jsonl``; see the module.

    Args:
        path: the file.
        made_from: whatever the records depend on, as JSON holds it.

    Attributes:
        replaced: whether the file held records that were made from something else.
    """

    def __init__(self, path: Path, made_from: dict[str, Any]) -> None:
        self.path = path
        text = json.dumps(made_from, sort_keys=True, default=str)
        self.key = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
        self.replaced = False
        self._head = json.dumps({"stage": path.stem, "made_from": self.key})
        self.records = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        make_folder(self.path.parent)
        lines = self.path.read_text(encoding="utf-8").split("\n") if self.path.is_file() else []
        if not lines or lines[0] != self._head:
            self.replaced = len(lines) > 2
            write_file(self.path, self._head + "\n")
            return {}
        records: dict[str, dict[str, Any]] = {}
        whole = [self._head]
        for line in lines[1:-1]:  # what follows the last line break was cut off in the middle
            try:
                record = json.loads(line)
                records[record["frame"]] = record
            except (ValueError, KeyError, TypeError):
                continue
            whole.append(line)
        if len(whole) != len(lines) - 1 or lines[-1]:
            write_file(self.path, "\n".join(whole) + "\n")
        return records

    def run(
        self,
        names: Iterable[str],
        work: Callable[[int], dict[str, Any]],
        engine: Engine = IN_PROCESS,
        gpu: bool = False,
        rate: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the records of frames in order; ``work`` computes the missing ones, by position.

        Args:
            names: of the frames.
            work: what makes a record.
            engine: who calls it.
            gpu: whether it needs one.
            rate: say how many frames a second it were.
        """
        wanted = list(names)
        left = [row for row, name in enumerate(wanted) if name not in self.records]
        start = time.monotonic()
        with open(self.path, "a", encoding="utf-8") as file:
            found = engine.map(lambda: lambda rows: map(work, rows), left, block=8, gpu=gpu)
            for row, made in zip(track(left, len(left), self.path.stem, "frames"), found, strict=True):
                record = {"frame": wanted[row], **made}
                file.write(json.dumps(record) + "\n")
                file.flush()
                self.records[wanted[row]] = record
        if rate:
            _say_rate(len(left), len(wanted), time.monotonic() - start)
        return [self.records[name] for name in wanted]


def _say_rate(done: int, of: int, seconds: float) -> None:
    """Say how quick a run over several frames was; of one that went on, its own part."""
    if done > 1:
        frames = f"{done} frames" if done == of else f"{done} of {of} frames"
        note(f"{frames}, {done / max(seconds, 1e-9):.1f} a second")


def span(pixels: np.ndarray) -> list[float] | None:
    """Return the percentiles that a picture's values are drawn between, ``None`` of one with 8 bits."""
    if pixels.dtype == np.uint8:
        return None
    known = pixels[np.isfinite(pixels)]
    return [float(value) for value in np.percentile(known, (1, 99))] if known.size else None


def common_span(spans: Sequence[list[float] | None]) -> tuple[float, float] | None:
    """Return what the values of all pictures of a video are drawn between, so that it does not flicker.

    Example:
        >>> common_span([[10.0, 20.0]] * 30 + [[0.0, 90.0], None])
        (10.0, 20.0)
    """
    known = np.array([one for one in spans if one], float).reshape(-1, 2)
    if not len(known):
        return None
    return float(np.percentile(known[:, 0], 5)), float(np.percentile(known[:, 1], 95))


def shown(pixels: np.ndarray, between: tuple[float, float] | None = None) -> np.ndarray:
    """Return a picture as it is drawn, uint8 ``(H, W, 3)``; deep values are stretched.

    Args:
        pixels: ``(H, W)`` or ``(H, W, 3 or 4)``.
        between: of :func:`common_span`; the picture's own percentiles without.

    Example:
        >>> shown(np.array([[100, 150, 200]], np.uint16), (100, 200))[0, :, 0].tolist()
        [0, 128, 255]
    """
    pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
    if pixels.dtype != np.uint8 and between is not None:
        low, high = between
        values = (np.nan_to_num(pixels.astype(np.float64), nan=low) - low) / max(high - low, 1e-9)
        pixels = (values.clip(0, 1) * 255).round().astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = (Normalization.parse("percentile")(pixels) * 255).round().astype(np.uint8)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)


def write_video(path: Path, frames: Iterable[np.ndarray], rate: Fraction = USUAL_RATE) -> Path:
    """Write pictures as a video, MPEG-4, sides even.

    Args:
        path: the file.
        frames: uint8 ``(H, W, 3)``, all of one size.
        rate: frames a second.
    """
    import av

    def write(partial: Path) -> None:
        try:
            encode(partial)
        except av.error.FFmpegError as error:
            raise CrossbandError(f"cannot write {path}: {error}") from None

    def encode(partial: Path) -> None:
        with av.open(str(partial), "w") as container:
            stream = None
            for frame in map(_encodable, frames):
                even = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
                if stream is None:
                    stream = container.add_stream("mpeg4", rate=_written_rate(rate))
                    stream.height, stream.width = even.shape[:2]
                    stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
                container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            if stream is not None:
                container.mux(stream.encode())

    return write_file(path, write)


def _encodable(frame: np.ndarray) -> np.ndarray:
    """A picture as MPEG-4 can hold it: each nth pixel where a side is too long, two at least."""
    step = -(-max(frame.shape[:2]) // _LONGEST)
    frame = frame[::step, ::step]
    return np.pad(frame, [(0, max(2 - frame.shape[0], 0)), (0, max(2 - frame.shape[1], 0)), (0, 0)], "edge")


def _written_rate(rate: Fraction) -> Fraction:
    """The rate as MPEG-4 can hold it, whose clock has 16 bits."""
    within = min(max(rate, Fraction(_RATES[0])), Fraction(_RATES[1]))
    return within.limit_denominator(min(1001, int(65535 / within)))
