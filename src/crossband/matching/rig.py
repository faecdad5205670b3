"""Two cameras that are mounted together: one transform for all their pairs.

Each pair is registered by itself first. Pairs that show no common scene, or whose transform is far from the
others', are left out and named. The transform of the rig is the one whose corners lie at the medians of the
pairs' corners, which a third of wrong pairs does not move. Where cameras stand apart, near things lie
elsewhere than far ones (parallax), and no one transform is right: then the pairs, which see other depths,
disagree by more than each of them is unsure, or where small blocks of edges lie spreads along the line between
the cameras by more than across it (:mod:`.residuals`), and that is said.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..bands import Band, parse_band
from ..datasets.check import usable_frames
from ..errors import CrossbandError
from ..files import make_folder, write_file
from ..frames import COLUMNS, Frames, leaves_folder
from ..io import read_image
from ..progress import note, says_once, track
from ..rigs import RigTransform
from .align import MODELS, Aligner, Registration, corners
from .residuals import Residuals

__all__ = ["Rig", "RigFit", "fit_rig"]

_FORMAT = "crossband-rig-1"
_LEAST = 3  # pairs
_FAR = 3.0  # times the pairs' usual deviation from the rig: not this rig's pair
_OF_OTHER_FILES = [*(band.value for band in Band), "labels", "boxes", "rig"]  # columns that copies do not keep
_SLACK = 0.01  # of the diagonal: what any pair may be off
_PARALLAX = 0.01  # of the diagonal: pairs that disagree by more are not explained by one transform
_DEPTH, _BEYOND = 0.002, 1.0  # of the diagonal, and of the noise: parallax that one transform may leave
_SAME = 0.999  # correlation of two bands that are one
_TREND = 0.003  # of the diagonal: how far near and far things may lie apart


@dataclass(frozen=True)
class Rig:
    """The transform between two cameras.

    Attributes:
        matrix: float64 ``(3, 3)``: from pixels (column, row) of the first band to pixels of the second.
        model: ``similarity``, ``affine`` or ``homography``; ``auto`` is a homography.
        first: the band it goes from, and the (height, width) of its images.
        second: the band it goes to, likewise.
        pairs: the frames it was made from.
        left_out: the other frames, each with the reason.
        error_px: the estimated mean error of a corner, in pixels of the second band.
        spread_px: how far pairs disagree about a corner: the median over them.
        one_transform: whether one transform explains the pairs; ``False`` where parallax does not allow it.
        parallax_px: how far depth moves things off the transform: a deviation.
    """

    matrix: np.ndarray
    model: str
    first: tuple[Band, tuple[int, int]]
    second: tuple[Band, tuple[int, int]]
    pairs: tuple[str, ...]
    left_out: dict[str, str]
    error_px: float
    spread_px: float
    one_transform: bool
    parallax_px: float = 0.0

    def to_json(self) -> dict[str, object]:
        """Return the content of ``rig.json``."""
        return {
            "format": _FORMAT,
            **self.transform.to_json(),
            "model": self.model,
            "pairs": list(self.pairs),
            "left_out": self.left_out,
            "error_px": self.error_px,
            "spread_px": self.spread_px,
            "one_transform": self.one_transform,
            "parallax_px": self.parallax_px,
        }

    def write(self, path: str | Path) -> Path:
        """Write ``rig.json``."""
        return write_file(path, json.dumps(self.to_json(), indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Rig:
        """Read what :meth:`write` wrote, checked.

        Raises:
            CrossbandError: no such file, or no rig.
        """
        transform = RigTransform.read(path)
        try:
            said = json.loads(Path(path).read_text(encoding="utf-8"))
            if said["format"] != _FORMAT or said["model"] not in MODELS:
                raise ValueError("another format")
            return cls(
                np.array(transform.matrix),
                said["model"],
                (transform.first, transform.first_size),
                (transform.second, transform.second_size),
                tuple(map(str, said["pairs"])),
                dict(said["left_out"]),
                float(said["error_px"]),
                float(said["spread_px"]),
                bool(said["one_transform"]),
                float(said.get("parallax_px", 0)),
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CrossbandError(
                f"{path} is no rig ({error}); fit_rig, or crossband align on a folder of pairs, makes one"
            ) from None

    @property
    def transform(self) -> RigTransform:
        """What readers apply."""
        a, b, c = self.matrix.tolist()
        return RigTransform((tuple(a), tuple(b), tuple(c)), *self.first, *self.second)

    def warp(self, pixels: np.ndarray, band: Band) -> np.ndarray:
        """Show an image of the second band as the first camera would have seen it; 0 where nothing is known.

        Raises:
            CrossbandError: another band, or images of another size than the rig was made from.
        """
        if band is not self.second[0]:
            raise CrossbandError(f"this rig moves {self.second[0].value} images, not {band.value} images")
        return self.transform(pixels, unknown=0)

    def apply(self, frames: Frames, out: str | Path) -> Frames:
        """Write copies of the second band's images, laid onto the first's, and a manifest of both.

        Raises:
            CrossbandError: images of another size than the rig's, or a folder that cannot be written.
        """
        out = make_folder(out)
        first, second = self.first[0], self.second[0]
        chosen = both(usable_frames(frames, [first, second]), first, second)
        if not chosen:
            raise CrossbandError(f"no frame has both {first.value} and {second.value}, so none can be aligned")
        lacking = len(frames) - len(both(frames, first, second))
        if lacking:
            note(f"{lacking} of {len(frames)} frames lack a band and are left out")
        units = dict(zip(frames.names, frames.units(), strict=True))
        told = [name for name in COLUMNS if name in frames.table and name not in (*_OF_OTHER_FILES, "frame")]
        rows = frames.table.set_index("frame")[told]
        made: list[dict[str, object]] = []
        for name, ours, theirs in track(chosen, len(chosen), "aligning", "frames"):
            row: dict[str, object] = {"frame": name}
            for band, path in ((first, ours), (second, theirs)):
                pixels = read_image(path, band, units[name]).pixels
                if band is second:
                    pixels = self.warp(pixels, band)
                suffix = (
                    "tif" if pixels.dtype.kind == "f" or (pixels.ndim == 3 and pixels.itemsize > 1) else "png"
                )
                target = out / band.value / f"{name}.{suffix}"
                make_folder(target.parent)
                write_file(target, partial(_save, pixels=pixels, suffix=suffix))
                row[band.value] = target.relative_to(out).as_posix()
            made.append({str(key): value for key, value in rows.loc[name].items()} | row)
        aligned = Frames.make(made, out)
        aligned.write(out / "frames.parquet")
        return aligned


@dataclass(frozen=True)
class RigFit:
    """A rig, and what it was made from.

    Attributes:
        rig: the transform.
        frames: all frames that were looked at.
        found: the registration of each pair that has one.
        residuals: of small blocks of the rig's pairs.
    """

    rig: Rig
    frames: Frames
    found: dict[str, Registration]
    residuals: Residuals

    def report(self, folder: str | Path) -> Path:
        """Write ``rig.json`` and ``rig.html`` into a folder; gives the page.

        The page shows pairs before and after, residuals by depth, and which pairs were left out and why.
        """
        from .rig_report import write_rig_report

        out = make_folder(folder)
        self.rig.write(out / "rig.json")
        return write_rig_report(self, out)


@says_once
def fit_rig(
    frames: Frames,
    model: str = "homography",
    first: str | None = None,
    second: str | None = None,
    most: int = 40,
    weights: str | Path | None = None,
    aligner: Aligner | None = None,
) -> RigFit:
    """Fit one transform between the two cameras of some frames.

    Args:
        frames: three or more frames with both bands. A column ``depth`` (centimeters of the first band, as the
            simulation writes it) tells how residuals depend on depth.
        model: ``similarity``, ``affine`` or ``homography``; ``auto`` is a homography.
        first: the band to go from, and ``second`` the band to go to; the frames' first two by default.
        most: pairs that are looked at, at regular steps.
        weights: where to look for the network's weights first.
        aligner: another one than that of ``model`` and ``weights``.

    Raises:
        CrossbandError: too few pairs, images of several sizes, or pairs that have no transform in common.
    """
    bands = [parse_band(name) for name in (first, second) if name] or list(frames.bands[:2])
    if len(bands) != 2:
        raise CrossbandError("a rig is of two bands; these frames have one")
    pairs = both(frames, *bands)
    pairs = pairs[:: max(1, -(-len(pairs) // most))]
    if len(pairs) < _LEAST:
        raise CrossbandError(
            f"{len(pairs)} pairs are too few for a rig; give {_LEAST} or more frames with both bands"
        )
    named = [name for name, _, _ in pairs]
    chosen = frames.select(frames.table["frame"].isin(named).to_numpy(bool))
    usable = both(usable_frames(chosen, bands, constant=False), *bands)
    aligner = aligner or Aligner("homography" if model == "auto" else model, weights)
    found, left_out, sizes = _registered(aligner, usable, bands)
    unread = {name: "an image cannot be used" for name in named if name not in {pair[0] for pair in usable}}
    left_out = {**unread, **left_out}
    if len(found) < _LEAST:
        raise CrossbandError(
            f"only {len(found)} of {len(pairs)} pairs can be registered, too few for a rig: "
            f"{next(iter(left_out.values()), '')}"
        )
    size, other_size = sizes
    rig = _common(found, left_out, aligner.model, (bands[0], size), (bands[1], other_size))
    kept = [pair for pair in usable if pair[0] in set(rig.pairs)]
    places = [
        aligner.located(aligner.read(ours, bands[0]), aligner.read(theirs, bands[1]), rig.matrix)
        for _, ours, theirs in track(kept, len(kept), "looking at depth", "pairs")
    ]
    residuals = Residuals.of(rig.matrix, places, size[0], _depths(frames, rig.pairs))
    return RigFit(_judged(rig, residuals), frames, found, residuals)


def _registered(
    aligner: Aligner, pairs: list[tuple[str, Path, Path]], bands: Sequence[Band]
) -> tuple[dict[str, Registration], dict[str, str], tuple[tuple[int, int], tuple[int, int]]]:
    """The registration of each pair; why others have none; and the two cameras' sizes, which most have."""
    found: dict[str, Registration] = {}
    left_out: dict[str, str] = {}
    sizes: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
    for name, ours, theirs in track(pairs, len(pairs), "registering", "pairs"):
        try:
            one, other = aligner.read(ours, bands[0]), aligner.read(theirs, bands[1])
            if _one_picture(one.gray, other.gray):
                left_out[name] = f"{bands[0].value} and {bands[1].value} are one picture"
                continue
            sizes[name] = one.size, other.size
            found[name] = aligner.align(one, other)
        except CrossbandError as error:
            left_out[name] = str(error)
    counts = Counter(sizes.values()).most_common(1)
    usual, count = counts[0] if counts else (((0, 0), (0, 0)), 0)
    if sizes and 2 * count <= len(sizes):
        raise CrossbandError("the images of a band have several sizes, so they are not of one camera")
    for name in [name for name in found if sizes[name] != usual]:
        height, width = next(side for side, own in zip(sizes[name], usual, strict=True) if side != own)
        left_out[name] = f"an image of {width}x{height} is not of this rig's cameras"
        del found[name]
    return found, left_out, usual


def _one_picture(one: np.ndarray, other: np.ndarray, places: int = 64) -> bool:
    """Whether two gray images are one: an image again, in another depth, or as its negative."""
    grids = (np.ix_(*(np.arange(places) * side // places for side in image.shape)) for image in (one, other))
    some = [image[grid].ravel() for image, grid in zip((one, other), grids, strict=True)]
    if min(float(np.ptp(values)) for values in some) < 1 / 255:
        return False
    return bool(abs(np.corrcoef(some[0], some[1])[0, 1]) > _SAME)


def _depths(frames: Frames, names: Sequence[str]) -> dict[int, np.ndarray] | None:
    """The depth of the first image of some frames, where the manifest has it."""
    if not frames.has("depth"):
        return None
    rows = dict(zip(frames.names, frames.table["depth"], strict=True))
    found = {}
    for number, name in enumerate(names):
        if isinstance(rows[name], str) and not leaves_folder(rows[name]):
            with contextlib.suppress(CrossbandError):
                found[number] = read_image(frames.root / rows[name]).pixels / 100.0
    return found or None


def _judged(rig: Rig, residuals: Residuals) -> Rig:
    """The rig, with what its residuals say of depth."""
    parallax, diagonal = residuals.parallax_px, float(np.hypot(*rig.second[1]))
    apart = (
        parallax > max(_DEPTH * diagonal, _BEYOND * residuals.noise_px)
        or residuals.trend_px > _TREND * diagonal
    )
    if rig.one_transform and apart:
        x, y = residuals.direction
        note(
            f"edges lie {parallax:.1f} pixels off the transform along ({x:.2f}, {y:.2f}), beyond their noise "
            f"of {residuals.noise_px:.1f}: depth differs (parallax); one transform does not fit"
        )
    return replace(rig, parallax_px=parallax, one_transform=rig.one_transform and not apart)


def _common(
    found: dict[str, Registration],
    left_out: dict[str, str],
    model: str,
    first: tuple[Band, tuple[int, int]],
    second: tuple[Band, tuple[int, int]],
) -> Rig:
    places = corners(first[1])
    moved = {name: _through(one.matrix, places) for name, one in found.items()}
    diagonal = float(np.hypot(*second[1]))
    middle = np.median(list(moved.values()), axis=0)
    off = {name: float(np.linalg.norm(where - middle, axis=1).mean()) for name, where in moved.items()}
    usual = float(np.median(list(off.values())))
    limit = max(_FAR * 1.4826 * usual, _SLACK * diagonal)
    kept = [name for name, distance in off.items() if distance <= limit]
    for name, distance in off.items():
        if distance > limit:
            left_out[name] = f"its transform is {distance:.0f} pixels from the others'"
    if len(kept) < max(_LEAST, len(found) / 2):
        raise CrossbandError(
            f"{len(kept)} of {len(found)} pairs agree on a transform, too few: the cameras moved, "
            "or frames are mixed up"
        )
    import cv2

    where = np.stack([moved[name] for name in kept])
    middle = np.median(where, axis=0)
    spread = np.linalg.norm(where - middle, axis=2).mean(1)
    spread_px = float(np.median(spread))
    own = float(np.median([found[name].error_px for name in kept]))
    matrix = cv2.getPerspectiveTransform(places.astype(np.float32), middle.astype(np.float32)).astype(float)
    if model != "homography":  # least squares on corners that are nearly one already
        two = np.linalg.lstsq(np.concatenate([places, np.ones((4, 1))], 1), middle, rcond=None)[0].T
        matrix = np.vstack([two, [0, 0, 1]])
    fits = spread_px <= max(_PARALLAX * diagonal, 3 * own)
    if not fits:
        note(
            f"pairs disagree by {spread_px:.1f} pixels, more than each is unsure ({own:.1f}): depth differs "
            "(parallax) or the cameras moved; one transform does not fit"
        )
    error = 1.2533 * spread_px / np.sqrt(len(kept))  # of a median
    return Rig(matrix, model, first, second, tuple(kept), left_out, float(error), spread_px, fits)


def both(frames: Frames, first: Band, second: Band) -> list[tuple[str, Path, Path]]:
    """Yield the name and the two images of each frame that has both bands."""
    whole: Sequence[tuple[str, Path | None, Path | None]] = list(
        zip(frames.names, frames.paths(first), frames.paths(second), strict=True)
    )
    return [(name, ours, theirs) for name, ours, theirs in whole if ours is not None and theirs is not None]


def _through(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.perspectiveTransform(points[None], matrix)[0]


def _save(path: Path, pixels: np.ndarray, suffix: str) -> None:
    import PIL.Image

    if suffix == "tif":
        import tifffile

        tifffile.imwrite(path, pixels)
    else:
        PIL.Image.fromarray(pixels).save(path, "PNG")
