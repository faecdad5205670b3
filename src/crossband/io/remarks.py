"""What an image file does not say loudly: pages that are not read, holes, units that cannot be right."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..bands import Units, to_kelvin
from ..progress import note, said_first

__all__ = ["Remark", "RemarkLog", "suspicions"]

COLDEST, HOTTEST = -80.0, 1500.0  # degrees C; what a thermal camera sees lies between
_FAR = 5  # spans of the other pixels
_MOST_LOOKED_AT = 1 << 18


class Remark(NamedTuple):
    """Something to know of an image that was read.

    Attributes:
        kind: the same word for all images that have it, as in ``pages``.
        text: what it is, in words.
    """

    kind: str
    text: str


class RemarkLog:
    """Remarks on many images, said once a kind: how many, and the first.

    Example:
        >>> log = RemarkLog()
        >>> log.add("a.tif", [Remark("pages", "6 pages, of which the first is read")])
        >>> log.lines()
        ['pages: 1 image, first a.tif: 6 pages, of which the first is read']
    """

    def __init__(self) -> None:
        self._found: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[RemarkLog], tuple[()]]:
        """A copy in another process starts empty: what was read there is said there."""
        return RemarkLog, ()

    def add(self, path: object, remarks: Iterable[Remark]) -> None:
        """Keep what was said of an image; it may be called from any thread."""
        for remark in remarks:
            with self._lock:
                self._found.setdefault(remark.kind, {}).setdefault(str(path), remark.text)

    def lines(self) -> list[str]:
        """One line a kind."""
        return [_line(kind, images) for kind, images in sorted(self._found.items())]

    def say(self) -> None:
        """Print the lines on standard error, but of what the verb at work has said already."""
        for kind, images in sorted(self._found.items()):
            if new := {path: text for path, text in images.items() if said_first(kind, path)}:
                note(_line(kind, new))


def _line(kind: str, images: dict[str, str]) -> str:
    first = min(images)
    many = "1 image" if len(images) == 1 else f"{len(images)} images"
    return f"{kind}: {many}, first {first}: {images[first]}"


def suspicions(pixels: np.ndarray, units: Units | str, thermal: bool = True) -> list[Remark]:
    """Tell what looks wrong with pixels, looked at cheaply; nothing is changed.

    Args:
        pixels: of any shape and type.
        units: what thermal pixels count.
        thermal: whether they are thermal; of others it is only said when they are constant.

    Example:
        >>> [remark.kind for remark in suspicions(np.array([[20.0, -9999.0, 21.0]]), "celsius")]
        ['temperatures']
        >>> [remark.kind for remark in suspicions(np.zeros((4, 4), np.uint8), "counts")]
        ['constant']
    """
    found = []
    values = pixels
    if pixels.dtype.kind == "f":
        values = pixels[np.isfinite(pixels)]
        lost = pixels.size - values.size
        if lost:
            text = f"{_share(lost, pixels.size)} of its pixels are no finite numbers, and are read as nothing"
            found.append(Remark("holes", text))
    if not values.size:
        return [Remark("constant", "no pixel holds a number")]
    low, high = values.min(), values.max()
    if low == high:
        return [*found, Remark("constant", f"every pixel is {_number(low)}")]
    if thermal and pixels.dtype != np.uint8 and pixels.ndim == 2:
        found += _temperatures(values, low, high, Units(units)) or _outliers(values, low, high)
    elif thermal and Units(units) is not Units.COUNTS:
        found += _temperatures(values, low, high, Units(units))
    return found


def _temperatures(values: np.ndarray, low: float, high: float, units: Units) -> list[Remark]:
    if units is Units.COUNTS:
        return []
    coldest, hottest = (float(to_kelvin(np.array(v), units)) - 273.15 for v in (low, high))
    if coldest >= COLDEST and hottest <= HOTTEST:
        return []
    limits = np.array([COLDEST, HOTTEST])
    celsius = values if units is Units.CELSIUS else to_kelvin(values, units) - 273.15
    outside = int(((celsius < limits[0]) | (celsius > limits[1])).sum())
    text = (
        f"{_share(outside, values.size)} of its pixels lie outside {COLDEST:g} to {HOTTEST:g} degrees C "
        f"({coldest:.6g} to {hottest:.6g}) if they are {units}: other units, or holes that nothing declares"
    )
    return [Remark("temperatures", text)]


def _outliers(values: np.ndarray, low: float, high: float) -> list[Remark]:
    """Pixels far from all others, as holes and hot pixels are."""
    step = max(1, values.size // _MOST_LOOKED_AT)
    some = values.reshape(-1)[::step]
    inner_low, inner_high = (float(v) for v in np.percentile(some, [0.1, 99.9]))
    for _ in range(2):  # a hole may be larger than a thousandth: without its one value, look again
        span = inner_high - inner_low
        far = (values < inner_low - _FAR * span) | (values > inner_high + _FAR * span)
        if span > 0 and (count := int(far.sum())):
            text = (
                f"{_share(count, values.size)} of its pixels are far from all others ({_number(low)} to "
                f"{_number(high)}, the others {_number(inner_low)} to {_number(inner_high)}): "
                "holes or hot pixels that nothing declares"
            )
            return [Remark("outliers", text)]
        rest = some[(some > low) & (some < high)]
        if rest.size < some.size / 2:
            return []
        inner_low, inner_high = (float(v) for v in np.percentile(rest, [0.1, 99.9]))
    return []


def _share(part: int, whole: int) -> str:
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 1 else f"{part} of {whole}"


def _number(value: float) -> str:
    return f"{float(value):.6g}"
