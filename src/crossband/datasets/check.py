"""Look at every image of a manifest and list each fault with its file and reason."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
_FUNCTION_OF_COLORS = 0.98  # near infrared follows colors where a scene has few materials, as simulated ones
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
    findings = _Findings(frames)
    rows = _looks_by_row(frames, max_pixels, workers)
    for row, looks in enumerate(track(rows, len(frames), "checking", "frames")):
        findings.add(row, looks)
    return findings.audit()


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
    findings, log = _Findings(frames), RemarkLog()
    for row in rows:
        looks = {}
        for band in findings.bands:
            path = findings.path(row, band)
            if path is not None and not (look := _look(path, band, units[row], MAX_PIXELS)).fault:
                looks[band] = look
                log.add(path, look.remarks)
        findings.add(row, looks)
    for row, band, text in findings.twice():
        log.add(findings.path(row, band), [Remark("band twice", text)])
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


def same_picture(one: np.ndarray, other: np.ndarray, least: float = _FUNCTION) -> str | None:
    """Tell why two bands' pixels at the same places are one picture, or return ``None``.

    They are equal, or the one is a function of the other, as a palette is. What tells is the bulk of the
    pixels, not the few that are brightest: two nearly black bands with the same lamp in them are two bands, and
    where the bulk is as dark as noise nothing can be told.

    Args:
        one: ``(h, w)`` or ``(h, w, 3)``; ``other`` likewise, of which both are looked at in as many places as
            the smaller has.
        least: share of the one's variance that the other has to explain.

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
        if told.ndim != 2 or _explained(told, teller) <= least:
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


class _Findings:
    """What is wrong with frames, gathered frame by frame; of an image, only the digest is kept."""

    def __init__(self, frames: Frames) -> None:
        self.bands, self._frames, self._names = frames.bands, frames, frames.names
        self._columns = {band: frames.table[band.value].tolist() for band in self.bands}
        self._n_images = 0
        self._faults: list[tuple[int, Fault]] = []
        self._first: dict[tuple[Band, bytes], int] = {}
        self._log = RemarkLog()
        self._pairs: Counter[tuple[Band, Band]] = Counter()
        self._alike: dict[tuple[Band, Band], list[tuple[int, str]]] = defaultdict(list)

    def path(self, row: int, band: Band) -> Path | None:
        """The image of a frame in a band."""
        path = self._columns[band][row]
        return None if pd.isna(path) else self._frames.root / path

    def add(self, row: int, looks: dict[Band, _Look]) -> None:
        """Take in what the images of a frame show."""
        self._n_images += len(looks)
        for band, look in looks.items():
            if look.fault:
                self._fault(row, band, "unreadable", look.fault)
                continue
            if any(remark.kind == "constant" for remark in look.remarks):
                self._fault(row, band, "constant", "every pixel has the same value")
            first = self._first.setdefault((band, look.digest), row)
            if first != row:
                self._fault(row, band, "duplicate", f"the same file content as frame {self._names[first]}")
            if look.remarks:
                rest = [remark for remark in look.remarks if remark.kind != "constant"]
                self._log.add(self.path(row, band), rest)
        self._compare_shapes(row, looks)
        for place, band in enumerate(self.bands):
            for other in self.bands[:place]:
                self._compare(row, other, band, looks)

    def audit(self) -> Audit:
        """All of it, after the last frame."""
        for row, band, text in self.twice():
            if text.endswith(_EQUAL):
                self._fault(row, band, "band twice", text)
            else:  # bands may be as much alike, and be two
                self._log.add(self.path(row, band), [Remark("band twice", text)])
        self._faults += _missing(self._frames)
        ordered = [fault for _, fault in sorted(self._faults, key=lambda pair: pair[0])]
        return Audit(len(self._frames), self._n_images, ordered, self._log.lines())

    def _fault(self, row: int, band: Band, kind: str, reason: str) -> None:
        fault = Fault(self._names[row], band.value, str(self.path(row, band)), kind, reason)
        self._faults.append((row, fault))

    def _compare_shapes(self, row: int, looks: dict[Band, _Look]) -> None:
        sizes = {band: look.size for band, look in looks.items() if look.size is not None}
        ratios = [size[0] / size[1] for size in sizes.values()]
        if ratios and max(ratios) > 1.02 * min(ratios):
            text = ", ".join(f"{band.value} {size[0]}x{size[1]}" for band, size in sizes.items())
            said = Remark("unequal shapes", f"the bands are stretched on each other: {text}")
            self._log.add(self.path(row, next(iter(sizes))), [said])

    def _compare(self, row: int, one: Band, two: Band, looks: dict[Band, _Look]) -> None:
        grids = [looks[band].grid if band in looks else None for band in (one, two)]
        if grids[0] is None or grids[1] is None:
            return
        self._pairs[one, two] += 1
        least = _FUNCTION_OF_COLORS if {one, two} == {Band.RGB, Band.NIR} else _FUNCTION
        if (reason := same_picture(grids[0], grids[1], least)) is not None:
            self._alike[one, two].append((row, reason))

    def twice(self) -> Iterator[tuple[int, Band, str]]:
        """Frames of which one band is another one again, where most of the frames with both are such."""
        for (one, two), found in self._alike.items():
            if 2 * len(found) > self._pairs[one, two]:
                for row, reason in found:
                    yield row, two, f"{one.value} and {two.value} are one band: {reason}"


def _looks_by_row(frames: Frames, max_pixels: int, workers: int) -> Iterator[dict[Band, _Look]]:
    """A look at the images of each frame, a few frames ahead."""
    units = frames.units()
    columns = {band: frames.table[band.value].tolist() for band in frames.bands}

    def looks(row: int) -> dict[Band, _Look]:
        paths = {band: column[row] for band, column in columns.items() if not pd.isna(column[row])}
        return {band: _look(frames.root / path, band, units[row], max_pixels) for band, path in paths.items()}

    waiting: deque[Future[dict[Band, _Look]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for row in range(len(frames)):
            waiting.append(pool.submit(looks, row))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _missing(frames: Frames) -> Iterator[tuple[int, Fault]]:
    """Label maps and boxes that are not there."""
    names = frames.names
    for column in ("labels", "boxes"):
        for row, path in enumerate(frames.table.get(column, ())):
            if not pd.isna(path) and not files_of(frames.root / path)[0].is_file():
                fault = Fault(names[row], column, str(frames.root / path), "unreadable", "missing")
                yield row, fault
