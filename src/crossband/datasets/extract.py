"""Take files of several images apart: TIFF with pages, FLIR's SEQ and CSQ, and pairs of videos."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import tifffile

from ..errors import CrossbandError
from ..files import make_folder, write_file
from ..io.flir import is_fff
from ..io.tiff import is_tiff
from ..io.video import read_timed_video
from ..progress import track
from ..streams import Pages

__all__ = ["extract"]


def extract(
    path: str | Path,
    out: str | Path,
    every: int = 1,
    seconds: float | None = None,
    *,
    stem: str | None = None,
) -> list[Path]:
    """Write each image of a file as a file of its own, in its own depth.

    They are ``OUT/STEM_000000.tif`` and so on, from 0 on.

    TIFF pages stay as they are, frames of SEQ and CSQ become kelvin (float32), and those of a video PNG. What
    is there already stays, so that a run that was stopped goes on.

    Args:
        path: a TIFF, SEQ, CSQ, FFF or video.
        out: the folder.
        every: keep each n-th image.
        seconds: of a video, keep the first image of each so many seconds, by the video's own clock; the number
            in a file's name is then that of the interval, the same in every video.
        stem: what names begin with; the file's own by default, nothing where empty.

    Raises:
        CrossbandError: nothing of that kind, or an image that cannot be read; it is named.
    """
    path, folder, written = Path(path), make_folder(out), []
    if every < 1:
        raise CrossbandError(f"every n-th image: n is 1 or more, not {every}", parameter="every")
    if seconds is not None and not 1e-3 <= seconds <= 1e6:
        raise CrossbandError(f"an interval is 0.001 seconds or more, not {seconds:g}", parameter="seconds")
    start = f"{path.stem}_" if stem is None else stem
    for number, pixels in _images(path, every, seconds):
        plain = pixels.dtype == np.uint8
        target = folder / f"{start}{number:06d}.{'png' if plain else 'tif'}"
        if not target.exists():
            if plain:
                write_file(target, PIL.Image.fromarray(pixels).save)
            else:
                write_file(target, functools.partial(tifffile.imwrite, data=pixels))
        written.append(target)
    return written


def extract_pairs(
    paths: Sequence[str | Path], out: str | Path, every: int = 1, seconds: float | None = None
) -> dict[Path, int]:
    """Take several files apart, each into a folder of its own name.

    Images of one number are one frame.

    Args:
        paths: the videos of two cameras that began together, say.
        out: the folder above.
        every: see :func:`extract`.
        seconds: likewise; where videos have other rates, only this pairs them.

    Raises:
        CrossbandError: two files of one name, or as :func:`extract`.
    """
    folders = [make_folder(out) / Path(path).stem for path in paths]
    if len(set(folders)) < len(folders):
        raise CrossbandError("two of these files have one name, and their images would be mixed; rename one")
    return {
        folder: len(extract(path, folder, every, seconds, stem=""))
        for path, folder in zip(paths, folders, strict=True)
    }


def _images(path: Path, every: int, seconds: float | None) -> Iterator[tuple[int, np.ndarray]]:
    if not path.is_file():
        raise CrossbandError(f"there is no {path}; give a TIFF, SEQ, CSQ or video")
    with open(path, "rb") as file:
        head = file.read(64)
    if not is_tiff(head) and not is_fff(head):
        yield from _of_video(path, every, seconds)
        return
    if seconds is not None:
        raise CrossbandError(f"{path} has no clock, as videos have; take each n-th image", parameter="seconds")
    pages = Pages(path)
    numbers = range(0, len(pages), every)
    for number in track(numbers, len(numbers), f"taking {path.name} apart"):
        yield number, pages.read(number)


def _of_video(path: Path, every: int, seconds: float | None) -> Iterator[tuple[int, np.ndarray]]:
    last = -1
    for number, (time, pixels) in enumerate(read_timed_video(path)):
        if seconds is not None:
            interval = int((time + 1e-6) / seconds)
            if interval > last:
                last = interval
                yield interval, pixels
        elif number % every == 0:
            yield number, pixels
