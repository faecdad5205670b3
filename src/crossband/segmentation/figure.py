"""Label maps laid over pictures, with a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from ..bands import Band, Normalization
from ..io import Image
from .classes import palette

__all__ = ["DARK", "comparison_sheet", "overlay", "overlay_sheet", "video_picture"]

DARK = 40.0
"""Mean of an RGB picture of 0 to 255 below which the thermal image shows what is labeled."""

_GAP, _CAPTION, _LEGEND, _WIDE = 8, 26, 34, 480
_IN_A_LINE = 5  # classes of a legend below a video
_INK = "#222222"


def overlay(
    pixels: np.ndarray, labels: np.ndarray, classes: Sequence[str], opacity: float = 0.55
) -> np.ndarray:
    """Draw classes in color over a picture, outlined; uint8 ``(H, W, 3)``.

    Args:
        pixels: uint8 ``(H, W, 3)``.
        labels: ``(H, W)``; class 0 stays as the picture is, as does what is no class.
        classes: their names.
        opacity: of the colors.
    """
    inside = (labels > 0) & (labels < len(classes))
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    drawn = np.array(pixels)
    colors = palette(classes)[labels[inside]]
    shares = np.where(edge[inside], 1.0, opacity).astype(np.float32)[:, None]
    drawn[inside] = (drawn[inside] * (1 - shares) + colors * shares).astype(np.uint8)
    return drawn


def overlay_sheet(
    images: Mapping[Band, Image],
    labels: np.ndarray,
    classes: Sequence[str],
    others: Mapping[str, np.ndarray] | None = None,
    truth: np.ndarray | None = None,
) -> PIL.Image.Image:
    """Draw a frame's bands, its label map over them and other label maps, with a legend.

    Args:
        images: the frame's bands.
        labels: the label map.
        classes: their names.
        others: further label maps by caption.
        truth: the true labels, where they are known.
    """
    bytes_of = {band: _eight_bit(image) for band, image in images.items()}
    ground = bytes_of.get(Band.RGB, next(iter(bytes_of.values())))
    if Band.TIR in bytes_of and float(ground.mean()) < DARK:  # at night
        ground = bytes_of[Band.TIR]
    tiles = [(band.value, pixels) for band, pixels in bytes_of.items()]
    maps = {} if truth is None else {"labels": truth}
    maps |= {"segmentation": labels, **(others or {})}
    tiles += [(name, _over(ground, one, classes)) for name, one in maps.items()]
    present = sorted({int(value) for one in maps.values() for value in np.unique(one)})
    return _sheet(tiles, classes, [value for value in present if 0 < value < len(classes)])


def comparison_sheet(
    images: Mapping[Band, Image],
    answers: Mapping[str, np.ndarray],
    classes: Sequence[str],
    truth: np.ndarray | None = None,
) -> PIL.Image.Image:
    """Lay a frame's bands, its true labels and several networks' label maps side by side with a legend.

    Args:
        images: the frame's bands.
        answers: the label map of each network, by its name; sizes may differ.
        classes: their names.
        truth: the true labels, where they are known.
    """
    tiles = [(band.value, _eight_bit(image)) for band, image in images.items()]
    maps = {**({} if truth is None else {"labels": truth}), **answers}
    colors = np.vstack([palette(classes), np.full((256 - len(classes), 3), 255, np.uint8)])
    tiles += [(name, colors[one]) for name, one in maps.items()]
    present = sorted({int(value) for one in maps.values() for value in np.unique(one)})
    return _sheet(tiles, classes, [value for value in present if 0 < value < len(classes)])


def video_picture(
    pixels: np.ndarray, labels: np.ndarray, classes: Sequence[str], present: Sequence[int]
) -> np.ndarray:
    """Draw a video's frame with its label map and a legend below, uint8 ``(H, W, 3)``.

    Args:
        pixels: uint8 ``(H, W, 3)``; what is too narrow for the legend is enlarged by a whole number.
        labels: the label map.
        classes: their names.
        present: those that the legend names, the same in each frame.
    """
    over = _over(pixels, labels, classes)
    times = -(-_WIDE // over.shape[1])
    large = over.repeat(times, 0).repeat(times, 1)
    named = [value for value in present if value > 0]
    lines = [named[start : start + _IN_A_LINE] for start in range(0, len(named), _IN_A_LINE)]
    sheet = PIL.Image.new("RGB", (large.shape[1], large.shape[0] + _LEGEND * len(lines)), "white")
    sheet.paste(PIL.Image.fromarray(large), (0, 0))
    draw, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(15)
    for number, line in enumerate(lines):
        _legend(draw, classes, line, large.shape[0] + number * _LEGEND + 6, font)
    return np.asarray(sheet)


def _over(ground: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    if ground.shape[:2] != labels.shape:
        resized = PIL.Image.fromarray(ground).resize(labels.shape[::-1], PIL.Image.Resampling.BILINEAR)
        ground = np.asarray(resized)
    return overlay(ground, labels, classes)


def _eight_bit(image: Image) -> np.ndarray:
    pixels = image.pixels[..., :3] if image.pixels.ndim == 3 else image.pixels
    if pixels.dtype != np.uint8 or pixels.ndim == 2:
        pixels = (Normalization.parse("percentile")(pixels) * 255).round().astype(np.uint8)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)


def _sheet(tiles: list[tuple[str, np.ndarray]], classes: Sequence[str], present: list[int]) -> PIL.Image.Image:
    ratio = tiles[0][1].shape[0] / tiles[0][1].shape[1]
    wide, tall = _WIDE, round(_WIDE * ratio)
    columns = len(tiles) if len(tiles) < 4 else -(-len(tiles) // 2)
    rows = -(-len(tiles) // columns)
    width = columns * (wide + _GAP) + _GAP
    height = rows * (tall + _CAPTION + _GAP) + _GAP + _LEGEND
    sheet = PIL.Image.new("RGB", (width, height), "white")
    draw = PIL.ImageDraw.Draw(sheet)
    font = PIL.ImageFont.load_default(15)
    for number, (caption, pixels) in enumerate(tiles):
        x = _GAP + number % columns * (wide + _GAP)
        y = _GAP + number // columns * (tall + _CAPTION + _GAP)
        how = PIL.Image.Resampling.LANCZOS if pixels.shape[1] > wide else PIL.Image.Resampling.NEAREST
        sheet.paste(PIL.Image.fromarray(pixels).resize((wide, tall), how), (x, y))
        draw.text((x, y + tall + 4), caption, fill=_INK, font=font)
    _legend(draw, classes, present, height - _LEGEND + 6, font)
    return sheet


def _legend(draw: PIL.ImageDraw.ImageDraw, classes: Sequence[str], present: list[int], top: int, font) -> None:  # type: ignore[no-untyped-def]
    colors, x = palette(classes), _GAP
    for number in present:
        name = classes[number].replace("_", " ")
        draw.rectangle((x, top + 2, x + 16, top + 16), fill=tuple(colors[number].tolist()))
        draw.text((x + 22, top), name, fill=_INK, font=font)
        x += 22 + int(draw.textlength(name, font=font)) + 22
