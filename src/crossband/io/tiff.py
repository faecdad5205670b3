"""TIFF: every depth, one page, bounded before memory is taken."""

from __future__ import annotations

import functools
import logging
from io import BytesIO

import numpy as np
import tifffile

from .remarks import Remark

__all__ = ["MAX_DECODED_BYTES", "is_tiff", "page_count", "read_tiff", "tiff_size"]

MAX_DECODED_BYTES = 800_000_000  # of one image, in the file's own depth
_NODATA = 42113  # GDAL's tag: a number as text
_ORIENTATION = 274
_MOST_PAGES = 100_000
_PLAIN = ("MINISBLACK", "MINISWHITE", "RGB")


def is_tiff(data: bytes) -> bool:
    """Tell whether the bytes begin as a TIFF does.

    Example:
        >>> is_tiff(b"II*\\0")
        True
    """
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def tiff_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) of the first page, from its header."""
    with _open(data) as file:
        page = file.pages[0]
        return int(page.imagewidth), int(page.imagelength)


def page_count(data: bytes) -> int:
    """Count the pages that hold an image like the first one's; smaller copies of it do not count."""
    with _open(data) as file:
        return len(_pages(file))


def read_tiff(
    data: bytes, max_pixels: int, masked: bool, page: int = 0
) -> tuple[np.ndarray | None, int, list[Remark]]:
    """Read the pixels of one page as stored, ``(H, W[, C])``, their EXIF orientation, and remarks.

    Args:
        data: the whole file.
        max_pixels: larger pages, tiles and strips are refused undecoded.
        masked: whether pixels that the file declares to hold no data (GDAL_NODATA) become NaN.
        page: which of the pages.

    Returns:
        ``None`` in the place of pixels where the colors are of a kind that is left to Pillow.

    Raises:
        ValueError: truncated, a volume, complex numbers, too many channels, or too large.
    """
    with _open(data) as file:
        pages = _pages(file)
        if page >= len(pages):
            raise ValueError(f"page {page} of a TIFF with {len(pages)} pages")
        remarks = []
        if len(pages) > 1 and page == 0:
            remarks.append(Remark("pages", f"{len(pages)} pages, of which the first is read"))
        chosen = pages[page]
        photometric = getattr(chosen.photometric, "name", "MINISBLACK")
        _check_bounds(chosen, max_pixels)
        if photometric not in _PLAIN:
            return None, 1, remarks
        pixels = chosen.asarray(maxworkers=1)
        tag = chosen.tags.get(_ORIENTATION)
        orientation = int(tag.value) if tag is not None and isinstance(tag.value, int) else 1
        white = (
            (1 << chosen.bitspersample) - 1 if isinstance(chosen.bitspersample, int) else 0
        )  # 12 bits perhaps
        if chosen.axes.startswith("S"):
            pixels = np.moveaxis(pixels, 0, -1)
        hole = _nodata(chosen) if masked else None
    pixels, found = _plain_type(pixels, white, photometric == "MINISWHITE", hole)
    return (
        pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] <= 2 else pixels,
        orientation,
        remarks + found,
    )


def _plain_type(
    pixels: np.ndarray, white: int, inverted: bool, hole: float | None
) -> tuple[np.ndarray, list[Remark]]:
    """uint8, uint16 or float32, upright in brightness, with holes as NaN."""
    remarks = []
    holes = None
    if hole is not None and pixels.ndim == 2:
        with np.errstate(over="ignore"):
            stored = np.array(hole).astype(pixels.dtype) if pixels.dtype.kind == "f" else hole
        holes = np.isnan(pixels) if np.isnan(hole) and pixels.dtype.kind == "f" else pixels == stored
    if pixels.dtype == bool:
        pixels, white = pixels.astype(np.uint8) * 255, 255
    elif pixels.dtype not in (np.uint8, np.uint16):
        pixels, said = narrowed(pixels)
        remarks += said
    if inverted and pixels.dtype.kind == "u" and white <= np.iinfo(pixels.dtype).max:
        pixels = pixels.dtype.type(white) - pixels
    if holes is not None and holes.any():
        pixels = pixels.astype(np.float32)
        pixels[holes] = np.nan
        share = 100 * float(holes.mean())
        remarks.append(Remark("no data", f"{share:.3g} % of its pixels hold no data ({hole:g}) and are masked"))
    return pixels, remarks


def narrowed(pixels: np.ndarray) -> tuple[np.ndarray, list[Remark]]:
    """Return numbers of any type as uint16 where they fit, else float32.

    What does not fit there is nothing, and said.

    Example:
        >>> narrowed(np.array([[1e300, 2.0]]))[0].tolist()
        [[nan, 2.0]]
    """
    if pixels.dtype.kind in "biu":
        low, high = (int(pixels.min()), int(pixels.max())) if pixels.size else (0, 0)
        return (pixels.astype(np.uint16 if 0 <= low <= high <= 0xFFFF else np.float32)), []
    with np.errstate(over="ignore", invalid="ignore"):
        small = pixels.astype(np.float32)
    lost = np.isinf(small) & np.isfinite(pixels)
    small[~np.isfinite(small)] = np.nan
    if not lost.any():
        return small, []
    return small, [Remark("range", f"{int(lost.sum())} pixels are beyond what float32 holds, and are masked")]


def _check_bounds(page: tifffile.TiffPage, max_pixels: int) -> None:
    """Refuse what would take more memory than the image it shows may."""
    if page.dtype is None:
        raise ValueError(f"a TIFF of {page.bitspersample} bits a sample, which is not read")
    if page.dtype.kind == "c":
        raise ValueError("complex numbers, two a pixel; write their magnitude")
    if page.imagedepth > 1:
        raise ValueError(f"a TIFF volume of {page.imagedepth} images; give one image a file")
    if page.samplesperpixel > 4:
        raise ValueError(f"a TIFF with {page.samplesperpixel} channels; give one band a file")
    size = page.dtype.itemsize * page.samplesperpixel
    rows = min(int(page.rowsperstrip or page.imagelength), int(page.imagelength))
    parts = {
        "pixels": (int(page.imagewidth), int(page.imagelength)),
        "pixels in a tile": (int(page.tilewidth), int(page.tilelength) * max(1, int(page.tiledepth))),
        "pixels in a strip": (int(page.imagewidth), rows),
    }
    for what, (width, height) in parts.items():
        if width * height > max_pixels:
            raise ValueError(f"decompression bomb: {width} x {height} {what}, more than {max_pixels}")
        if width * height * size > MAX_DECODED_BYTES:
            raise ValueError(f"{width} x {height} {what} take more than {MAX_DECODED_BYTES} bytes decoded")


def _pages(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages that hold an image of the first one's shape and kind."""
    first = file.pages[0]
    found = [first]
    for number, page in enumerate(file.pages):
        if number >= _MOST_PAGES:
            break
        if number and not page.is_reduced and page.shape == first.shape and page.dtype == first.dtype:
            found.append(page)
    return found


def _nodata(page: tifffile.TiffPage) -> float | None:
    tag = page.tags.get(_NODATA)
    if tag is None:
        return None
    try:
        return float(str(tag.value).strip("\0 \n"))
    except ValueError:
        return None


def _open(data: bytes) -> tifffile.TiffFile:
    _silence()
    return tifffile.TiffFile(BytesIO(data))


@functools.cache
def _silence() -> None:
    """The library's remarks on odd tags are not for a user; what matters is raised."""
    logging.getLogger("tifffile").addFilter(lambda record: False)
