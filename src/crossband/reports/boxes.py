"""Boxes of detected objects drawn over a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

__all__ = ["CLASS_COLORS", "draw_boxes"]

# told apart by the color-blind, and bright enough on a dark thermal image
CLASS_COLORS = ((255, 176, 0), (100, 180, 255), (120, 220, 60), (254, 97, 180), (240, 240, 240), (220, 38, 127))


def draw_boxes(
    pixels: np.ndarray,
    boxes: np.ndarray,
    classes: Sequence[str],
    marks: Sequence[str] | None = None,
    legend: bool = True,
) -> PIL.Image.Image:
    """Draw boxes into a picture, thin enough to see what is inside, each with its score (or a mark).

    Args:
        pixels: uint8 ``(H, W, 3)``.
        boxes: ``(n, 6)``: left, top, right, bottom in pixels, score, class.
        classes: names.
        marks: a text a box in place of its score.
        legend: whether a line below says which color is which class, and how many there are.

    Example:
        >>> draw_boxes(np.zeros((40, 60, 3), np.uint8), np.array([[5, 5, 20, 30, 0.9, 0]]), ["car"]).size
        (60, 62)
    """
    height, width = pixels.shape[:2]
    sheet = PIL.Image.new("RGB", (width, height + 22 * legend), "black")
    sheet.paste(PIL.Image.fromarray(pixels), (0, 0))
    draw = PIL.ImageDraw.Draw(sheet)
    small = PIL.ImageFont.load_default(max(9, round(width / 64)))
    for row, box in enumerate(boxes):
        left, top, right, bottom = (float(value) for value in box[:4])
        color = CLASS_COLORS[int(box[5]) % len(CLASS_COLORS)]
        draw.rectangle((left - 1, top - 1, right, bottom), outline=color)
        text = f"{100 * box[4]:.0f}" if marks is None else marks[row]
        draw.text((left, top - 2), text, fill=color, font=small, anchor="lb")
    if legend:
        _legend(draw, boxes, classes, height)
    return sheet


def _legend(draw: PIL.ImageDraw.ImageDraw, boxes: np.ndarray, classes: Sequence[str], top: int) -> None:
    font, x = PIL.ImageFont.load_default(13), 6
    for number, name in enumerate(classes):
        count = int((boxes[:, 5] == number).sum()) if len(boxes) else 0
        text = f"{name} {count}"
        draw.rectangle((x, top + 6, x + 10, top + 16), fill=CLASS_COLORS[number % len(CLASS_COLORS)])
        draw.text((x + 15, top + 3), text, fill="#dddddd", font=font)
        x += 15 + int(draw.textlength(text, font=font)) + 16
