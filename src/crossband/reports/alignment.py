"""Pictures of a registration: the one image on the other in three ways, and the matches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw

from ..files import make_folder, write_file

__all__ = ["outlines", "save_alignment"]

_SHOWN = 60  # matches
_WIDEST = 960


def save_alignment(
    first: np.ndarray, second: np.ndarray, matrix: np.ndarray, matches: np.ndarray, out: str | Path
) -> list[Path]:
    """Write ``warped.png``, ``checkerboard.png``, ``fade.png``, ``edges.png`` and ``matches.png``.

    Args:
        first: gray in [0, 1], ``(H, W)``.
        second: likewise, of any size.
        matrix: ``(3, 3)``: from pixels of the first to pixels of the second.
        matches: ``(m, 4)``: column and row in the first, column and row in the second.
        out: the folder.
    """
    import cv2

    out = make_folder(out)
    height, width = first.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(second, matrix, (width, height), flags=flags)
    rows, columns = np.mgrid[:height, :width]
    cell = max(8, max(height, width) // 10)
    board = np.where((rows // cell + columns // cell) % 2 == 0, first, warped)
    edges = outlines(first, warped)
    pictures = {
        "warped": warped,
        "checkerboard": board,
        "fade": (first + warped) / 2,
        "edges": edges,
    }
    written = [write_file(out / f"{name}.png", _image(pixels).save) for name, pixels in pictures.items()]
    lines = _matches(first, second, matches)
    return [*written, write_file(out / "matches.png", lines.save)]


def outlines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the outlines of two gray images of one size, red and green, float ``(H, W, 3)`` in [0, 1]."""
    return np.stack([_outline(first), _outline(second), np.zeros_like(first)], 2)


def _image(pixels: np.ndarray) -> PIL.Image.Image:
    return PIL.Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))


def _outline(gray: np.ndarray) -> np.ndarray:
    import cv2

    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.2)
    steep = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    return (steep / max(float(np.quantile(steep, 0.97)), 1e-6)).clip(0, 1)


def _matches(first: np.ndarray, second: np.ndarray, matches: np.ndarray) -> PIL.Image.Image:
    """The two side by side at one height, with lines between some matches."""
    scales, pictures = [], []
    tall = min(first.shape[0], _WIDEST // 2)
    for gray in (first, second):
        scale = tall / gray.shape[0]
        scales.append(scale)
        pictures.append(_image(gray).resize((max(1, round(gray.shape[1] * scale)), tall)).convert("RGB"))
    whole = PIL.Image.new("RGB", (pictures[0].width + pictures[1].width + 8, tall), "white")
    whole.paste(pictures[0], (0, 0))
    left = pictures[0].width + 8
    whole.paste(pictures[1], (left, 0))
    draw = PIL.ImageDraw.Draw(whole)
    some = matches[:: max(1, len(matches) // _SHOWN)]
    for x0, y0, x1, y1 in some:
        color = (0, 200, 90) if y0 * scales[0] < tall / 2 else (255, 170, 0)
        draw.line([x0 * scales[0], y0 * scales[0], left + x1 * scales[1], y1 * scales[1]], color, 1)
    return whole
