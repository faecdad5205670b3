"""Strips: a query and its best matches, side by side, with what is right marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.ImageOps

from ..bands import Band, Normalization
from ..errors import CrossbandError, ImageFault
from ..io import Image, as_image

__all__ = ["Tile", "save_picture", "strip", "thumbnail"]

_TILE = (240, 180)
_GAP, _CAPTION = 10, 38


class _Colors(NamedTuple):
    """The colors of a strip on a page, as report.css has them."""

    page: str
    title: str
    detail: str
    empty: str
    marks: Mapping[bool, str]


_LIGHT = _Colors("#ffffff", "#1b1f24", "#5b6470", "#eceef1", {True: "#1a9850", False: "#d73027"})
_DARK = _Colors("#1c2026", "#e8eaed", "#a2abb6", "#343a42", {True: "#58c27d", False: "#f0776a"})


@dataclass(frozen=True)
class Tile:
    """One picture of a strip.

    Attributes:
        path: the image, or its file; one that is gone or damaged becomes a gray tile that says so.
        band: how to show it.
        title: the first line below it; ``detail`` the second.
        right: marks it right (green) or wrong (red); ``None`` marks nothing.
        corner: a word in the picture's upper left corner.
    """

    path: str | Path | Image
    band: str
    title: str
    detail: str = ""
    right: bool | None = None
    corner: str = ""


def thumbnail(image: Image, band: Band, size: tuple[int, int] = _TILE) -> PIL.Image.Image:
    """Return an image of any depth as an 8-bit picture of at most ``size`` (width, height).

    Thermal and deep images are stretched from their 1st to their 99th percentile.
    """
    pixels = image.pixels[..., :3] if image.pixels.ndim == 3 else image.pixels
    if pixels.dtype != np.uint8 or band is Band.TIR:
        pixels = (Normalization.parse("percentile")(pixels) * 255).round().astype(np.uint8)
    picture = PIL.Image.fromarray(pixels).convert("RGB")
    picture.thumbnail(size, PIL.Image.Resampling.LANCZOS)
    return picture


def save_picture(picture: PIL.Image.Image, path: str | Path) -> Path:
    """Write a picture, as JPEG or PNG by the name; its folder is made if need be.

    Raises:
        CrossbandError: the file cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=90)
    except (OSError, ValueError) as error:
        raise CrossbandError(f"cannot write {path} ({error}); give a name ending in .jpg or .png") from None
    return Path(path)


def strip(rows: Sequence[Sequence[Tile]], dark: bool = False) -> PIL.Image.Image:
    """Arrange rows of tiles as one picture; the first tile of each row, the query, stands apart.

    Args:
        rows: a row of tiles each.
        dark: whether it is for a dark page.

    Example:
        >>> strip([[Tile("gone.png", "rgb", "query"), Tile("gone.png", "tir", "1")]]).size
        (534, 238)
    """
    most = max(len(row) for row in rows)
    pictures = [[_picture(tile) for tile in row] for row in rows]
    heights = [p.height for row in pictures for p in row if not isinstance(p, str)]
    tall = max(heights, default=_TILE[1])
    width = most * (_TILE[0] + _GAP) + _GAP + 24
    height = len(rows) * (tall + _CAPTION + _GAP) + _GAP
    colors = _DARK if dark else _LIGHT
    sheet = PIL.Image.new("RGB", (width, height), colors.page)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            left = _GAP + x * (_TILE[0] + _GAP) + (24 if x else 0)
            _draw(sheet, tile, pictures[y][x], left, _GAP + y * (tall + _CAPTION + _GAP), tall, colors)
    return sheet


def _picture(tile: Tile) -> PIL.Image.Image | str:
    """The tile's picture, or why there is none."""
    try:
        return PIL.ImageOps.contain(thumbnail(as_image(tile.path, tile.band), Band(tile.band)), _TILE)
    except ImageFault as fault:
        return fault.reason


def _draw(
    sheet: PIL.Image.Image,
    tile: Tile,
    picture: PIL.Image.Image | str,
    left: int,
    top: int,
    tall: int,
    colors: _Colors,
) -> None:
    draw = PIL.ImageDraw.Draw(sheet)
    wide = _TILE[0] if isinstance(picture, str) else picture.width
    high = tall if isinstance(picture, str) else picture.height
    box = (left, top, left + wide - 1, top + high - 1)
    if isinstance(picture, str):
        draw.rectangle(box, fill=colors.empty)
        below = top + (32 if tile.corner else 8)
        draw.text((left + 8, below), _fit(draw, picture, 12, wide - 16), fill=colors.detail, font=_font(12))
    else:
        sheet.paste(picture, (left, top))
    if tile.right is not None:
        draw.rectangle(box, outline=colors.marks[tile.right], width=5)
    if tile.corner:
        long = draw.textlength(tile.corner, font=_font(14))
        draw.rectangle((left, top, left + long + 11, top + 23), fill=colors.page)
        draw.text((left + 6, top + 3), tile.corner, fill=colors.title, font=_font(14))
    draw.text((left, top + tall + 3), _fit(draw, tile.title, 14), fill=colors.title, font=_font(14))
    draw.text((left, top + tall + 20), _fit(draw, tile.detail, 12), fill=colors.detail, font=_font(12))


def _font(size: int) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    return PIL.ImageFont.load_default(size)


def _fit(draw: PIL.ImageDraw.ImageDraw, text: str, size: int, width: int = _TILE[0]) -> str:
    """The text, shortened until it is no wider than ``width`` pixels."""
    text = " ".join(text.split())
    while text and draw.textlength(text, font=_font(size)) > width:
        text = text[:-2].rstrip("…") + "…"
    return text
