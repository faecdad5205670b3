"""Look at every image of a manifest and list each fault with its file and reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..bands import Band, parse_band
from ..errors import ImageFault
from ..frames import Frames
from ..io.composite import files_of
from ..io.images import MAX_PIXELS, decode_image, read_bytes
from ..io.remarks import Remark, RemarkLog
from ..progress import note, said_first, track
from ..results import Result
from ._checked import CheckedImages

__all__ = ["Audit", "Fault", "check_frames", "look_at_some", "same_picture", "say_left_out", "usable_frames"]

_GRID = 64  # places along a side at which two bands are compared
# of one band's variance, what the other's levels explain: real pairs stay below in all
# but single frames and palettes of real cameras lie above, so most frames of a set have to
_FUNCTION = 0.93
_FUNCTION_OF_BULK = 0.5
_EQUAL = "the pixels are equal"
_MOST_LINES = 20


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one image of one frame.

    Attributes:
        frame: the frame's name.
        band: the band of the image, or ``labels`` or ``boxes``.
        path: the file.
        kind: ``unreadable``, ``constant``, ``duplicate`` or ``band twice``.
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
        faults: every fault, in the frames' order; runs leave those out that are ``unreadable``.
        remarks: what is to be known of images that can be used, a line a kind.
    """

    n_frames: int
    n_images: int
    faults: list[Fault]
    remarks: list[str] = field(default_factory=list)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each fault."""
        return pd.DataFrame([asdict(fault) for fault in self.faults], columns=list(Fault.__dataclass_fields__))


@dataclass(frozen=True)
class _Look:
    """What one image shows: its size, the hash of its bytes and some pixels; or why it cannot be read."""

    size: tuple[int, int] | None = None
    digest: bytes = b""
    grid: np.ndarray | None = None
    remarks: tuple[Remark, ...] = ()
    fault: str = ""


def check_frames(frames: Frames, max_pixels: int = MAX_PIXELS, workers: int = 2) -> Audit:
    """Decode every image once and list what is wrong; nothing stops it.

    Found are: missing, empty, truncated or damaged files, files that are no image, decompression bombs,
    constant images (also all-NaN ones), the same file content under two names in one band, and one band that is
    another one again, pixel by pixel. Remarks are no faults: a band that may be a palette of another, further
    pages, holes, temperatures that cannot be right, bands of unequal shape. Of label maps and boxes it is
    looked only whether the file is there.

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
    units = frames.units()
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda job: _look(job[2], job[1], units[job[0]], max_pixels), jobs)
        looks = list(track(found, len(jobs), "checking"))
    seen = {(row, band): look for (row, band, _), look in zip(jobs, looks, strict=True)}
    where = {(row, band): str(path) for row, band, path in jobs}
    twice = list(_twice(frames, seen, where))
    equal = [(row, fault) for row, fault in twice if fault.reason.endswith(_EQUAL)]
    faults = [*_faults(frames, seen, where), *equal, *_missing(frames)]
    ordered = [fault for _, fault in sorted(faults, key=lambda pair: pair[0])]
    log = _remarks(frames, seen, where)
    for row, fault in twice:
        if (row, fault) not in equal:  # bands may be as much alike, and be two
            log.add(where[row, Band(fault.band)], [Remark(fault.kind, fault.reason)])
    return Audit(len(frames), len(jobs), ordered, log.lines())


def look_at_some(frames: Frames, most: int = 6) -> RemarkLog:
    """Remark on a few frames at equal steps: what every run should know before it starts.

    Args:
        frames: the manifest; images that cannot be read are no matter here.
        most: frames looked at.

    Example:
        >>> look_at_some(Frames.make([{"frame": "a", "rgb": "gone.png"}], root=".")).lines()
        []
    """
    count = min(most, len(frames))
    rows = np.unique(np.linspace(0, max(len(frames) - 1, 0), count).astype(int)).tolist()
    units = frames.units()
    seen, where = {}, {}
    for band in frames.bands:
        paths = frames.paths(band)
        for row in rows:
            path = paths[row]
            if path is not None and not (look := _look(path, band, units[row], MAX_PIXELS)).fault:
                seen[row, band], where[row, band] = look, str(path)
    log = RemarkLog()
    for (row, band), look in seen.items():
        log.add(where[row, band], look.remarks)
    for row, fault in _twice(frames, seen, where):
        log.add(where[row, Band(fault.band)], [Remark(fault.kind, fault.reason)])
    return log


def usable_frames(
    frames: Frames, bands: Iterable[Band | str] | None = None, *, constant: bool = True, workers: int = 2
) -> Frames:
    """Return the frames without the images that cannot be read; each is said, before any work starts.

    A frame that keeps none of these images is left out. What is to be known of the others is said too, a line
    a kind. Images that were read before and have not changed since are not decoded again.

    Args:
        frames: the manifest.
        bands: whose images are decoded, once each; all by default.
        constant: whether an image of which every pixel is the same is of use.
        workers: decoding threads.

    Raises:
        CrossbandError: no image of these frames can be read.

    Example:
        >>> usable_frames(Frames.make([{"frame": "a", "rgb": "gone.png"}], root="."))
        Traceback (most recent call last):
        ...
        crossband.errors.ImageFault: gone.png: missing
    """
    log, faults = RemarkLog(), []
    table = frames.table.copy()
    wanted = list(frames.bands) if bands is None else [parse_band(band) for band in bands]
    for band, row, path, look in _looks_once(frames, wanted, workers):
        flat = next((one.text for one in look.remarks if one.kind == "constant"), "")
        if fault := look.fault or ("" if constant else flat):
            faults.append(ImageFault(path, fault))
            table.loc[table.index[row], band.value] = pd.NA
        else:
            log.add(path, look.remarks)
    if not faults:
        log.say()
        return frames
    kept = table[[band.value for band in wanted]].notna().any(axis=1).to_numpy(bool)
    if not kept.any():
        raise faults[0]
    say_left_out(faults)
    log.say()
    return Frames(table, frames.root).select(kept)


def _looks_once(frames: Frames, bands: Sequence[Band], workers: int) -> Iterator[tuple[Band, int, Path, _Look]]:
    """A look at each image of some bands, with its row; of those that were read before, the remarks alone."""
    units = frames.units()
    jobs = [(b, row, path) for b in bands for row, path in enumerate(frames.paths(b)) if path is not None]
    with CheckedImages.open() as checked, ThreadPoolExecutor(workers) as pool:
        known = [checked.find(path, band, units[row]) for band, row, path in jobs]
        new = [job for job, remarks in zip(jobs, known, strict=True) if remarks is None]
        looks = pool.map(lambda job: _look(job[2], job[0], units[job[1]], MAX_PIXELS), new)
        fresh = track(looks, len(new), "reading")
        for (band, row, path), remarks in zip(jobs, known, strict=True):
            look = next(fresh) if remarks is None else _Look(remarks=remarks)
            if remarks is None and not look.fault:
                checked.keep(path, band, units[row], look.remarks)
            yield band, row, path, look


def say_left_out(faults: Sequence[ImageFault | str]) -> None:
    """Say on standard error which images are left out, and why, once each; of many, the first twenty."""
    faults = [fault for fault in faults if said_first("left out", fault)]
    for fault in faults[:_MOST_LINES]:
        note(f"left out: {fault}")
    if len(faults) > _MOST_LINES:
        note(f"left out: {len(faults) - _MOST_LINES} more images; crossband data check lists all")


def _look(path: Path, band: Band, units: str | None, max_pixels: int) -> _Look:
    try:
        data = read_bytes(path)
        image = decode_image(data, path, band, units, max_pixels)
    except ImageFault as fault:
        return _Look(fault=fault.reason)
    digest = hashlib.blake2b(data, digest_size=16).digest()
    return _Look(image.size, digest, _grid(image.pixels), image.remarks)


def _grid(pixels: np.ndarray) -> np.ndarray:
    """Pixels at 64x64 places, fewer of a smaller image, none mixed; one channel where three are alike."""
    some = _sampled(pixels, _GRID, _GRID)
    if some.ndim == 3 and (some[..., :1] == some[..., 1:3]).all():
        some = some[..., 0]
    return some[..., :3] if some.ndim == 3 else some


def _sampled(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """At most so many rows and columns, at equal steps; no pixel is taken twice."""
    sides = zip(pixels.shape[:2], (height, width), strict=True)
    rows, columns = (
        ((np.arange(n) + 0.5) / n * side).astype(int) for side, n in ((s, min(s, m)) for s, m in sides)
    )
    return pixels[rows][:, columns]


def same_picture(one: np.ndarray, other: np.ndarray) -> str | None:
    """Tell why two bands' pixels at the same places are one picture, or return ``None``.

    They are equal, or the one is a function of the other, as a palette is. What tells is the bulk of the
    pixels, not the few that are brightest: two nearly black bands with the same lamp in them are two bands, and
    where the bulk is as dark as noise nothing can be told.

    Args:
        one: ``(h, w)`` or ``(h, w, 3)``; ``other`` likewise, of which both are looked at in as many places as
            the smaller has.

    Example:
        >>> ramp = np.add.outer(np.arange(64), np.arange(64) ** 2)
        >>> same_picture(ramp, (ramp % 7).astype(np.uint8)) is None, same_picture(ramp, 3 * ramp + 1)
        (True, 'the one is a palette or another depth of the other')
    """
    height, width = np.minimum(one.shape[:2], other.shape[:2])
    one, other = _sampled(one, height, width), _sampled(other, height, width)
    if one.shape == other.shape and one.dtype == other.dtype and np.array_equal(one, other):
        return _EQUAL if any(_bulk(part).any() for part in np.atleast_3d(one).transpose(2, 0, 1)) else None
    for told, teller in ((one, other), (other, one)):
        if told.ndim != 2 or _explained(told, teller) <= _FUNCTION:
            continue
        if _explained(told, teller, _bulk(told)) > _FUNCTION_OF_BULK:
            return "the one is a palette or another depth of the other"
    return None


def _bulk(told: np.ndarray) -> np.ndarray:
    """The pixels but for the darkest and brightest twentieth, boolean; none where they hardly differ."""
    values = told.astype(np.float64)
    good = np.isfinite(values)
    if not good.any():
        return good
    low, high = np.quantile(values[good], [0.05, 0.95])
    noise = 2.0 if told.dtype.kind in "iu" else 0.0  # steps of the camera
    return good & (values >= low) & (values <= high) if high - low > noise else np.zeros_like(good)


def _explained(told: np.ndarray, teller: np.ndarray, mask: np.ndarray | None = None) -> float:
    """The share of a picture's variance that another's colors or gray levels explain, for as many as there
    are; of the pixels in a mask alone, if there is one."""
    values = told.astype(np.float64).ravel()
    good = np.isfinite(values) if mask is None else mask.ravel()
    if not good.any():
        return 0.0
    if teller.ndim == 3:
        codes = (teller.astype(np.int64) * 16 // (int(teller.max()) + 1)).reshape(-1, 3) @ (256, 16, 1)
    else:
        gray = teller.astype(np.float64).ravel()
        good = good & np.isfinite(gray)
        codes = np.zeros(gray.size, np.int64)
        codes[good] = np.searchsorted(np.quantile(gray[good], np.linspace(0, 1, 129)[1:-1]), gray[good])
    values, codes = values[good], codes[good]
    _, codes = np.unique(codes, return_inverse=True)
    counts = np.bincount(codes)
    if values.size <= 2 * len(counts) or values.var() == 0:
        return 0.0
    means = np.bincount(codes, values) / counts
    within = float(np.square(values - means[codes]).sum()) / (values.size - len(counts))
    return 1 - within / float(values.var())


def _faults(
    frames: Frames, looks: dict[tuple[int, Band], _Look], paths: dict[tuple[int, Band], str]
) -> Iterator[tuple[int, Fault]]:
    """Each fault of one image with the row of its frame."""
    names = frames.names
    first: dict[tuple[Band, bytes], int] = {}
    for (row, band), look in looks.items():

        def fault(kind: str, reason: str, row: int = row, band: Band = band) -> tuple[int, Fault]:
            return row, Fault(names[row], band.value, paths[row, band], kind, reason)

        if look.fault:
            yield fault("unreadable", look.fault)
            continue
        if any(remark.kind == "constant" for remark in look.remarks):
            yield fault("constant", "every pixel has the same value")
        other = first.setdefault((band, look.digest), row)
        if other != row:
            yield fault("duplicate", f"the same file content as frame {names[other]}")


def _twice(
    frames: Frames, looks: dict[tuple[int, Band], _Look], paths: dict[tuple[int, Band], str]
) -> Iterator[tuple[int, Fault]]:
    """Frames of which one band is another one again, where most of the frames with both are such."""
    for place, band in enumerate(frames.bands):
        for other in frames.bands[:place]:
            found, pairs = [], 0
            for row in range(len(frames)):
                one, two = looks.get((row, other)), looks.get((row, band))
                if one is None or two is None or one.grid is None or two.grid is None:
                    continue
                pairs += 1
                if (reason := same_picture(one.grid, two.grid)) is not None:
                    text = f"{other.value} and {band.value} are one band: {reason}"
                    fault = Fault(frames.names[row], band.value, paths[row, band], "band twice", text)
                    found.append((row, fault))
            if 2 * len(found) > pairs:
                yield from found


def _remarks(
    frames: Frames, looks: dict[tuple[int, Band], _Look], paths: dict[tuple[int, Band], str]
) -> RemarkLog:
    """What is no fault."""
    log = RemarkLog()
    for (row, band), look in looks.items():
        log.add(paths[row, band], [remark for remark in look.remarks if remark.kind != "constant"])
        shapes = {b: looks[row, b].size for b in frames.bands if (row, b) in looks}
        sizes = {b: size for b, size in shapes.items() if size is not None}
        ratios = [size[0] / size[1] for size in sizes.values()]
        if band is next(iter(sizes), None) and max(ratios) > 1.02 * min(ratios):
            text = ", ".join(f"{b.value} {size[0]}x{size[1]}" for b, size in sizes.items())
            log.add(
                paths[row, band], [Remark("unequal shapes", f"the bands are stretched on each other: {text}")]
            )
    return log


def _missing(frames: Frames) -> Iterator[tuple[int, Fault]]:
    """Label maps and boxes that are not there."""
    for column in ("labels", "boxes"):
        for row, path in enumerate(frames.table.get(column, ())):
            if not pd.isna(path) and not files_of(frames.root / path)[0].is_file():
                fault = Fault(frames.names[row], column, str(frames.root / path), "unreadable", "missing")
                yield row, fault
