"""Look at every image of a manifest and list each fault with its file and reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..bands import Band
from ..errors import ImageFault
from ..frames import Frames
from ..io.images import MAX_PIXELS, decode_image, read_bytes
from ..progress import track
from ..results import Result

__all__ = ["Audit", "Fault", "check_frames"]


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one image of one frame.

    Attributes:
        frame: the frame's name.
        band: the band of the image, or ``labels`` or ``boxes``.
        path: the file.
        kind: ``unreadable``, ``constant``, ``size`` or ``duplicate``.
        reason: what is wrong, in words.
    """

    frame: str
    band: str
    path: str
    kind: str
    reason: str


@dataclass(frozen=True, repr=False)
class Audit(Result):
    """What :func:`check_frames` found.

    Attributes:
        n_frames: frames looked at.
        n_images: images looked at.
        faults: every fault, in the frames' order.
    """

    n_frames: int
    n_images: int
    faults: list[Fault]

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each fault."""
        return pd.DataFrame([asdict(fault) for fault in self.faults], columns=list(Fault.__dataclass_fields__))


@dataclass(frozen=True)
class _Look:
    """What one image shows: its size and the hash of its bytes, or why it cannot be read."""

    size: tuple[int, int] | None = None
    digest: bytes = b""
    constant: bool = False
    fault: str = ""


def check_frames(frames: Frames, max_pixels: int = MAX_PIXELS, workers: int = 2) -> Audit:
    """Decode every image once and list what is wrong; nothing stops it.

    Found are: missing, empty, truncated or damaged files, files that are no image, decompression bombs,
    constant images (also all-NaN ones), images of a frame with unequal sizes, and the same file content
    under two names in one band. Of label maps and boxes it is looked only whether the file is there.

    Args:
        frames: the manifest.
        max_pixels: images larger than this are refused undecoded.
        workers: decoding threads.

    Example:
        >>> check_frames(Frames.make([{"frame": "a", "rgb": "gone.png"}], root=".")).faults[0].reason
        'missing'
    """
    jobs = [
        (row, band, path)
        for band in frames.bands
        for row, path in enumerate(frames.paths(band))
        if path is not None
    ]
    with ThreadPoolExecutor(workers) as pool:
        looks = list(
            track(pool.map(lambda job: _look(job[2], job[1], max_pixels), jobs), len(jobs), "checking")
        )
    seen = {(row, band): look for (row, band, _), look in zip(jobs, looks, strict=True)}
    where = {(row, band): str(path) for row, band, path in jobs}
    faults = sorted([*_faults(frames, seen, where), *_missing(frames)], key=lambda pair: pair[0])
    return Audit(len(frames), len(jobs), [fault for _, fault in faults])


def _look(path: Path, band: Band, max_pixels: int) -> _Look:
    try:
        data = read_bytes(path)
        image = decode_image(data, path, band, max_pixels=max_pixels)
    except ImageFault as fault:
        return _Look(fault=fault.reason)
    pixels = image.pixels[np.isfinite(image.pixels)] if image.pixels.dtype.kind == "f" else image.pixels
    constant = not pixels.size or bool(pixels.min() == pixels.max())
    return _Look(image.size, hashlib.blake2b(data, digest_size=16).digest(), constant)


def _faults(
    frames: Frames, looks: dict[tuple[int, Band], _Look], paths: dict[tuple[int, Band], str]
) -> Iterator[tuple[int, Fault]]:
    """Each fault with the row of its frame."""
    names = frames.names
    first: dict[tuple[Band, bytes], int] = {}
    for (row, band), look in looks.items():

        def fault(kind: str, reason: str, row: int = row, band: Band = band) -> tuple[int, Fault]:
            return row, Fault(names[row], band.value, paths[row, band], kind, reason)

        if look.fault:
            yield fault("unreadable", look.fault)
            continue
        if look.constant:
            yield fault("constant", "every pixel has the same value")
        other = first.setdefault((band, look.digest), row)
        if other != row:
            yield fault("duplicate", f"the same file content as frame {names[other]}")
        sizes = {b.value: looks[row, b].size for b in frames.bands if (row, b) in looks and looks[row, b].size}
        if len(set(sizes.values())) > 1 and band.value == next(iter(sizes)):
            text = ", ".join(f"{name} {size[1]}x{size[0]}" for name, size in sizes.items() if size)
            yield fault("size", f"unequal sizes in one frame: {text}")


def _missing(frames: Frames) -> Iterator[tuple[int, Fault]]:
    """Label maps and boxes that are not there."""
    for column in ("labels", "boxes"):
        for row, path in enumerate(frames.table.get(column, ())):
            if not pd.isna(path) and not (frames.root / path).is_file():
                fault = Fault(frames.names[row], column, str(frames.root / path), "unreadable", "missing")
                yield row, fault
