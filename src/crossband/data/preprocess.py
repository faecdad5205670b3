"""From an image of any depth to what a model reads: normalized, resized, standardized, three channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..bands import BANDS, Band, Normalization, default_normalization, parse_band
from ..errors import CrossbandError
from ..frames import Frames
from ..io import Image, read_image
from ..progress import track
from ..rigs import RigTransform

__all__ = [
    "IMAGENET",
    "TURNS",
    "Placement",
    "Preprocess",
    "Statistics",
    "Warp",
    "four_numbers",
    "label_places",
    "measure_statistics",
    "place_labels",
    "split_labels",
]


_STRIP_PIXELS = 1 << 22
_LABELS = "labels="
TURNS = ("0", "90", "180", "270", "mirror")


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each of three channels, of pixels in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_NEUTRAL = Statistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Warp:
    """A similarity about the image's center, for testing robustness to misalignment.

    The content moves right and down by ``shift`` (a fraction of width and of height), grows by
    ``scale`` and turns counterclockwise, as it is seen, by ``rotate`` degrees; the border is extended where
    nothing is known.

    Example:
        >>> str(Warp(shift=0.05, scale=1.1, rotate=5))
        'shift 5 %, scale 1.1, rotate 5 deg'
    """

    shift: float = 0.0
    scale: float = 1.0
    rotate: float = 0.0

    def __str__(self) -> str:
        return f"shift {self.shift * 100:g} %, scale {self.scale:g}, rotate {self.rotate:g} deg"

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Warp a float image ``(C, H, W)``, bilinearly; same shape."""
        angle = math.radians(self.rotate)
        cos, sin = math.cos(angle) / self.scale, math.sin(angle) / self.scale
        height, width = image.shape[-2:]
        ratio = height / width  # grid coordinates are relative to each side; the turn is in pixels
        matrix = torch.tensor([[cos, -sin * ratio], [sin / ratio, cos]], dtype=image.dtype)
        offset = -matrix @ torch.tensor([2 * self.shift, 2 * self.shift], dtype=image.dtype)
        grid = F.affine_grid(torch.cat([matrix, offset[:, None]], 1)[None], [1, *image.shape], False)
        return F.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]


def four_numbers(text: str, said: str, parameter: str) -> tuple[float, float, float, float]:
    """Read four numbers with commas between.

    Raises:
        CrossbandError: they are not; ``said`` tells what was expected of the ``parameter``.
    """
    try:
        one, two, three, four = (float(number) for number in text.split(","))
    except ValueError:
        raise CrossbandError(said, parameter=parameter) from None
    return one, two, three, four


@dataclass(frozen=True)
class Placement:
    """How the images of a band are brought to the view of the others on a rig: warped, turned, then cut.

    Attributes:
        turn: ``0``, ``90``, ``180`` or ``270`` degrees counterclockwise, as they are seen, or ``mirror``.
        view: (left, top, width, height) of what is kept, as shares of the turned image where none is above 1,
        else
            in its pixels; ``None`` keeps all.
        transform: what shows the images as another band's camera would have seen them, or ``None``.

    Example:
        >>> Placement("180", (0.0, 0.0, 0.5, 1.0))(np.array([[1, 2], [3, 4]])).tolist()
        [[4], [2]]
    """

    turn: str = "0"
    view: tuple[float, float, float, float] | None = None
    transform: RigTransform | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.turn not in TURNS:
            raise CrossbandError(f"a turn is one of {', '.join(TURNS)}, not {self.turn!r}", parameter="turn")
        if self.view is not None:
            left, top, width, height = self.view
            if not (0 <= left < 1e6 and 0 <= top < 1e6 and 0 < width < 1e6 and 0 < height < 1e6):
                raise CrossbandError(
                    f"a view is left, top, width and height above 0, not {self.view}", parameter="view"
                )

    @classmethod
    def parse(cls, turns: Sequence[str], views: Sequence[str]) -> dict[Band, Placement]:
        """Read what ``BAND=TURN`` and ``BAND=LEFT,TOP,WIDTH,HEIGHT`` mean, a band.

        Raises:
            CrossbandError: a text that is none of them, or an unknown band.

        Example:
            >>> Placement.parse(["tir=180"], ["rgb=0.1,0.1,0.5,0.5"])[Band.TIR]
            Placement(turn='180', view=None)
        """
        found: dict[Band, Placement] = {}
        for text in turns:
            band, _, turn = text.partition("=")
            found[parse_band(band)] = cls(turn)
        for text in views:
            name, _, numbers = text.partition("=")
            band = parse_band(name)
            said = f"a view is BAND=LEFT,TOP,WIDTH,HEIGHT, not {text!r}"
            view = four_numbers(numbers, said, "view")
            found[band] = cls(found[band].turn if band in found else "0", view)
        return found

    @classmethod
    def of_text(cls, turn: str, view: str) -> dict[Band, Placement]:
        """Read the columns ``turn`` and ``view`` of a manifest: what :meth:`parse` takes, blanks between.

        What they say of ``labels`` is for :func:`place_labels`.

        Example:
            >>> Placement.of_text("tir=180 labels=180", "")
            {<Band.TIR: 'tir'>: Placement(turn='180', view=None)}
        """
        of_bands, _ = split_labels(turn.split(), view.split())
        return cls.parse(*of_bands)

    @classmethod
    def of_frames(cls, frames: Frames) -> list[dict[Band, Placement]]:
        """Return what each frame of a manifest keeps of turn and view."""
        return [cls.of_text(*texts) for texts in _placement_texts(frames)]

    def describe(self) -> list[object]:
        """Return a complete plain description, for keys and files."""
        return [self.turn, self.view, *([] if self.transform is None else [self.transform.to_json()])]

    @classmethod
    def from_description(cls, said: Sequence[Any]) -> Placement:
        """Make it from what :meth:`describe` returned."""
        turn, view, *rest = said
        cut = None if view is None else (view[0], view[1], view[2], view[3])
        return cls(str(turn), cut, RigTransform.parse(rest[0]) if rest else None)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels ``(H, W[, C])`` warped, turned and cut.

        Raises:
            CrossbandError: nothing of the image lies in the view, or the rig is of images of another size.
        """
        if self.transform is not None:
            pixels = self.transform(pixels)
        turned = pixels[:, ::-1] if self.turn == "mirror" else np.rot90(pixels, int(self.turn) // 90)
        if self.view is None:
            return np.ascontiguousarray(turned)
        height, width = turned.shape[:2]
        scale = (width, height, width, height) if max(self.view) <= 1 else (1, 1, 1, 1)
        left, top, wide, high = (round(value * side) for value, side in zip(self.view, scale, strict=True))
        part = turned[top : top + max(high, 1), left : left + max(wide, 1)]
        if not part.size:
            raise CrossbandError(f"the view {self.view} lies outside an image of {width}x{height}")
        return np.ascontiguousarray(part)


def split_labels(
    turns: Sequence[str], views: Sequence[str]
) -> tuple[tuple[list[str], list[str]], Placement | None]:
    """Take turns and views of ``labels``, ``labels=180`` say, apart from those of bands.

    Returns:
        the turns and views of bands, as :meth:`Placement.parse` takes them, and the labels' own placement.

    Raises:
        CrossbandError: what is said of the labels is none.
    """
    own = [[text for text in texts if text.startswith(_LABELS)] for texts in (turns, views)]
    rest = [[text for text in texts if not text.startswith(_LABELS)] for texts in (turns, views)]
    if not any(own):
        return (rest[0], rest[1]), None
    as_band = [[text.replace(_LABELS, f"{Band.RGB}=", 1) for text in texts] for texts in own]
    return (rest[0], rest[1]), Placement.parse(*as_band)[Band.RGB]


def label_places(frames: Frames) -> list[Placement | None]:
    """Return what each frame of a manifest says of its label map in turn and view, ``None`` where nothing."""
    return [split_labels(turn.split(), view.split())[1] for turn, view in _placement_texts(frames)]


def _placement_texts(frames: Frames) -> list[tuple[str, str]]:
    """The columns turn and view of each frame."""
    turns, views = (
        frames.table[name].fillna("").tolist() if name in frames.table else [""] * len(frames)
        for name in ("turn", "view")
    )
    return list(zip(turns, views, strict=True))


def place_labels(
    labels: np.ndarray,
    said: Placement | None,
    places: Mapping[Band, Placement],
    sizes: Mapping[Band, tuple[int, int]],
) -> np.ndarray:
    """Turn and cut a label map as the band it was drawn on.

    That is the band whose image has its size, unless the manifest says how labels lie (``labels=...``).

    Args:
        labels: ``(H, W)`` as stored.
        said: what the manifest says of labels.
        places: what is done to the frame's bands.
        sizes: (height, width) of the frame's images as stored.

    Raises:
        CrossbandError: several bands have its size and are not placed alike, or none has.

    Example:
        >>> cut = {Band.RGB: Placement("0", (0.0, 0.0, 0.5, 1.0))}
        >>> sizes = {Band.RGB: (2, 4), Band.TIR: (1, 2)}
        >>> place_labels(np.array([[1, 1, 2, 2], [3, 3, 4, 4]]), None, cut, sizes).tolist()
        [[1, 1], [3, 3]]
    """
    if said is not None:
        return said(labels)
    if not places:
        return labels
    found = {places.get(band, Placement()) for band, size in sizes.items() if size == labels.shape}
    if len(found) != 1:
        raise CrossbandError(
            f"its bands are turned or cut, and nothing tells whether a label map of {labels.shape[1]}x"
            f"{labels.shape[0]} is too; say view labels=LEFT,TOP,WIDTH,HEIGHT (or turn labels=0: as it is)",
            parameter="view",
        )
    return found.pop()(labels)


@dataclass(frozen=True)
class Preprocess:
    """How an image of a band becomes a tensor; part of the identity of a descriptor.

    Attributes:
        size: (height, width) in pixels.
        statistics: what the pixels are standardized by, a band; one entry serves all bands not named.
        normalization: the map to [0, 1], a band.
        warp: a misalignment to simulate, or ``None``.
        rig: what is done first to the images of a band: turned upright, cut to the view of the other.

    Example:
        >>> image = Image(np.full((10, 20), 29315, np.uint16))
        >>> Preprocess((32, 32))(image, Band.TIR).shape
        torch.Size([3, 32, 32])
    """

    size: tuple[int, int] = (320, 320)
    statistics: Mapping[Band, Statistics] = field(default_factory=lambda: dict.fromkeys(BANDS, IMAGENET))
    normalization: Mapping[Band, Normalization] = field(
        default_factory=lambda: {band: default_normalization(band) for band in BANDS}
    )
    warp: Warp | None = None
    rig: Mapping[Band, Placement] = field(default_factory=dict)

    def least(self, band: Band) -> int | None:
        """Return the side that images of a band need, or ``None`` where they are to be read whole.

        For :func:`crossband.io.read_image`; a rig or a view counts an image's own pixels.
        """
        return None if band in self.rig else max(self.size)

    def unit(self, image: Image, band: Band) -> torch.Tensor:
        """Return the image in [0, 1], resized, float32 ``(1 or 3, H, W)``.

        The thermal band has one channel: colors (a palette burnt in by the camera) become their
        luminance. An alpha channel is ignored. Resizing is bilinear with antialiasing, on the pixels'
        own values, after normalization for floating-point maps and before it for 8-bit color.
        """
        pixels = image.pixels[..., :3] if image.pixels.ndim == 3 else image.pixels
        if band in self.rig:
            pixels = self.rig[band](pixels)
        if band is Band.TIR and pixels.ndim == 3:
            pixels = _luminance(pixels)
        normalize = self.normalization[band]
        if pixels.dtype == np.uint8 and normalize.name in ("range", "repeat8"):
            # a linear map commutes with resizing, and resizing bytes is several times faster
            return self._warped(_fit(pixels, lambda part: part, self.size).float().div_(255))
        stretch = normalize.fitted(pixels)
        return self._warped(_fit(pixels, lambda part: stretch(part, image.units), self.size))

    def __call__(self, image: Image, band: Band | str) -> torch.Tensor:
        """The tensor a model reads: float32 ``(3, H, W)``, standardized.

        Raises:
            CrossbandError: the normalization does not fit the pixels (kelvin on counts, say).
        """
        band = Band(band)
        statistics = self.statistics[band]
        pixels = self.unit(image, band)
        if statistics == _NEUTRAL:
            return pixels.expand(3, -1, -1)
        mean = torch.tensor(statistics.mean)[:, None, None]
        std = torch.tensor(statistics.std)[:, None, None]
        return (pixels - mean).div_(std)

    def with_rig(self, transform: RigTransform | None) -> Preprocess:
        """Return the same, of images that are first shown as a rig's first camera would have seen them."""
        if transform is None:
            return self
        placed = replace(self.rig.get(transform.second, Placement()), transform=transform)
        return replace(self, rig={**self.rig, transform.second: placed})

    def with_places(self, places: Mapping[Band, Placement]) -> Preprocess:
        """Return the same, of images that are first turned and cut as a manifest says.

        Raises:
            CrossbandError: it turns or cuts images of a band otherwise already.
        """
        rig = dict(self.rig)
        for band, place in places.items():
            own = rig.get(band, Placement())
            if (own.turn, own.view) not in (("0", None), (place.turn, place.view)):
                raise CrossbandError(
                    f"the manifest keeps another view or turn of {band.value} than that given; leave one out",
                    parameter="view",
                )
            rig[band] = replace(own, turn=place.turn, view=place.view)
        return replace(self, rig=rig)

    @property
    def transform(self) -> RigTransform | None:
        """The rig that images are warped by, or ``None``."""
        return next((p.transform for p in self.rig.values() if p.transform is not None), None)

    def standardized(self, images: torch.Tensor, bands: Sequence[Band]) -> torch.Tensor:
        """Return several bands together, standardized, float32 ``(..., C, H, W)``.

        Args:
            images: the channels of the bands one after another, three for ``rgb`` and one for the others, which
                take the mean of their three statistics.
            bands: in the order of the channels.
        """
        mean: list[float] = []
        std: list[float] = []
        for band in bands:
            s = self.statistics[band]
            mean += s.mean if band is Band.RGB else [sum(s.mean) / 3]
            std += s.std if band is Band.RGB else [sum(s.std) / 3]
        return (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    def describe(self) -> dict[str, object]:
        """Return a complete plain description, for keys and files."""
        return {
            "size": list(self.size),
            "statistics": {b.value: [list(s.mean), list(s.std)] for b, s in self.statistics.items()},
            "normalization": {band.value: str(n) for band, n in self.normalization.items()},
            "warp": None if self.warp is None else [self.warp.shift, self.warp.scale, self.warp.rotate],
            **({"rig": {b.value: p.describe() for b, p in self.rig.items()}} if self.rig else {}),
        }

    @classmethod
    def from_description(cls, metadata: Mapping[str, object]) -> Preprocess:
        """Make it from what :meth:`describe` returned.

        Example:
            >>> Preprocess.from_description(Preprocess().describe()) == Preprocess()
            True
        """
        a: dict = dict(metadata)
        return cls(
            size=(int(a["size"][0]), int(a["size"][1])),
            statistics={Band(b): Statistics(tuple(m), tuple(s)) for b, (m, s) in a["statistics"].items()},
            normalization={Band(b): Normalization.parse(n) for b, n in a["normalization"].items()},
            warp=None if a["warp"] is None else Warp(*a["warp"]),
            rig={Band(b): Placement.from_description(said) for b, said in a.get("rig", {}).items()},
        )

    def _warped(self, image: torch.Tensor) -> torch.Tensor:
        return image if self.warp is None else self.warp(image)


def measure_statistics(
    frames: Frames | Sequence[Frames], preprocess: Preprocess, most: int = 500
) -> dict[Band, Statistics]:
    """Measure the mean and standard deviation of each channel of each band.

    At most ``most`` images of a band are read, at regular steps; those that cannot be read, or that the
    normalization does not fit, are skipped.

    Args:
        frames: the images; of several sets, all of them count alike.
        preprocess: how they are read; its own statistics do not matter.
        most: images per band.

    Raises:
        CrossbandError: none of a band's images can be read; the last one's reason is said.
    """
    sets = [frames] if isinstance(frames, Frames) else list(frames)
    found = {}
    for band in (band for band in BANDS if any(band in one.bands for one in sets)):
        images = [
            (path, units, rig, places)
            for one in sets
            if band in one.bands
            for path, units, rig, places in zip(
                one.paths(band), one.units(), one.rigs(), Placement.of_frames(one), strict=True
            )
            if path is not None
        ]
        sums, squares, count, reason = torch.zeros(3), torch.zeros(3), 0, ""
        chosen = images[:: max(1, math.ceil(len(images) / most))]
        for path, units, rig, places in track(chosen, len(chosen), f"statistics of {band.value}"):
            try:
                placed = preprocess.with_rig(rig).with_places(places)
                pixels = placed.unit(read_image(path, band, units), band).expand(3, -1, -1)
            except CrossbandError as error:
                reason = str(error)
                continue
            sums, squares, count = (
                sums + pixels.mean((1, 2)),
                squares + pixels.square().mean((1, 2)),
                count + 1,
            )
        if not count:
            raise CrossbandError(
                f"no {band.value} image can be read, so its statistics cannot be measured ({reason})"
            )
        mean = sums / count
        std = (squares / count - mean.square()).clamp(min=1e-8).sqrt()
        found[band] = Statistics(tuple(mean.tolist()), tuple(std.tolist()))
    return found


def _luminance(pixels: np.ndarray) -> np.ndarray:
    gray = pixels[..., 0]
    if all(np.array_equal(gray[i], pixels[i, :, c]) for i in range(len(gray)) for c in (1, 2)):
        return gray
    weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    luminance = np.empty(gray.shape, pixels.dtype)
    rows = max(1, _STRIP_PIXELS // gray.shape[1])
    for top in range(0, len(gray), rows):
        luminance[top : top + rows] = (pixels[top : top + rows].astype(np.float32) @ weights).round()
    return luminance


def _fit(pixels: np.ndarray, change: Callable[[np.ndarray], np.ndarray], size: tuple[int, int]) -> torch.Tensor:
    """Pixels changed and resized. Resizing goes along the rows, then along the columns, so a large image is
    narrowed strip by strip, to the same numbers, and is never there whole as floating point."""
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    if rows >= len(pixels):
        return _resize(_channels_first(change(pixels)), size)
    narrow = [
        _resize(_channels_first(change(part)), (len(part), size[1]))
        for part in (pixels[top : top + rows] for top in range(0, len(pixels), rows))
    ]
    return _resize(torch.cat(narrow, 1), size)


def _channels_first(pixels: np.ndarray) -> torch.Tensor:
    pixels = np.ascontiguousarray(pixels)
    tensor = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)


def _resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
