"""Read one image without losing depth: what the file holds is what comes out.

The format is told by the file's first bytes, never by its name, and the size is checked in the header
before a pixel is decoded. 16-bit color PNG goes through imagecodecs because Pillow narrows it to 8 bits.
"""

from __future__ import annotations

import re
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import tifffile

from ..bands import Band, Units, parse_band, parse_units
from ..errors import ImageFault
from .flir import is_radiometric_jpeg, read_radiometric_jpeg

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Image",
    "decode_image",
    "image_size",
    "read_bytes",
    "read_image",
    "read_labels",
]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".webp"})
MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 1 << 30
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "PPM", "WEBP")
_EXIF_ORIENTATION = 274
_STRIP_PIXELS = 1 << 22  # what is copied out of Pillow at once; a whole large image would be there four times
_PNG = b"\x89PNG\r\n\x1a\n"
_PGM_GAP = rb"(?:\s|#[^\n]*\n)+"
_PGM_HEADER = re.compile(rb"P5" + _PGM_GAP + rb"(\d+)" + _PGM_GAP + rb"(\d+)" + _PGM_GAP + rb"(\d+)\s")


@dataclass(frozen=True)
class Image:
    """Pixels as the file holds them, upright.

    Attributes:
        pixels: ``(H, W)`` or ``(H, W, 3 or 4)``; uint8, uint16 or float32.
        units: what a thermal pixel counts; ``counts`` where nobody said otherwise.
    """

    pixels: np.ndarray
    units: Units = Units.COUNTS

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_image(
    path: str | Path,
    band: Band | str = Band.RGB,
    units: Units | str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image:
    """Read one image file in its own depth, with its EXIF orientation applied.

    A radiometric FLIR JPEG gives temperatures in kelvin for ``tir`` and the embedded photograph for
    ``rgb``. A four-channel image whose fourth channel has more than two levels is MFNet's: color for ``rgb``,
    the fourth channel for ``tir``. Every other file gives its own pixels. Of a TIFF with several pages, the
    first is read.

    Args:
        path: PNG, JPEG, TIFF, BMP, PGM, PPM or WebP; the name does not matter.
        band: the band the image is read for.
        units: the units of thermal pixels, where the file does not say them itself.
        max_pixels: larger images are refused before they are decoded.

    Raises:
        ImageFault: missing, empty, not an image, truncated, of an unknown kind, or too large.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "thermal.tif"
        ...     tifffile.imwrite(file, np.full((4, 6), 29315, np.uint16))
        ...     image = read_image(file, "tir", "centikelvin")
        >>> image.size, image.pixels.dtype, image.units
        ((6, 4), dtype('uint16'), <Units.CENTIKELVIN: 'centikelvin'>)
    """
    return decode_image(read_bytes(path), path, band, units, max_pixels)


def decode_image(
    data: bytes,
    path: str | Path,
    band: Band | str = Band.RGB,
    units: Units | str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image:
    """Decode the bytes of one image file; ``path`` names it in faults. See :func:`read_image`.

    Raises:
        ImageFault: not an image, truncated, of an unknown kind, or too large.
    """
    band = parse_band(band)
    with _faults(path):
        _check_size(*_header_size(data), max_pixels)
        if band is not Band.NIR and is_radiometric_jpeg(data):
            pixels = read_radiometric_jpeg(data, band)
            if pixels is not None:
                _check_size(pixels.shape[1], pixels.shape[0], max_pixels)
                with _open_with_pillow(data) as image:  # the camera turned all it recorded, or nothing
                    pixels = upright(pixels, _orientation(image))
                return Image(pixels, Units.KELVIN if band is Band.TIR else Units.COUNTS)
        if _is_tiff(data):
            pixels = _decode_tiff(data, max_pixels)
        elif _is_deep_color_png(data):
            pixels = _decode_deep_png(data, max_pixels)
        elif _is_deep_pgm(data):
            pixels = _decode_deep_pgm(data)
        else:
            pixels = _decode_with_pillow(data, max_pixels)
        _check_size(pixels.shape[1], pixels.shape[0], max_pixels)
    if band is Band.TIR and pixels.ndim == 3 and pixels.shape[-1] == 4 and _is_picture(pixels[..., 3]):
        pixels = np.ascontiguousarray(pixels[..., 3])
    return Image(pixels, parse_units(units) if units is not None and band is Band.TIR else Units.COUNTS)


def _is_picture(channel: np.ndarray) -> bool:
    """Whether a fourth channel is a picture of its own: transparency has one level, or two as a mask has."""
    low, high = channel.min(), channel.max()
    return bool(((channel != low) & (channel != high)).any())


def read_labels(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a label map as the file holds it, integers ``(H, W)``.

    For a PNG with a palette these are the indices of its colors.

    Raises:
        ImageFault: missing, not an image, too large, or a color image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     labels = PIL.Image.fromarray(np.array([[0, 7]], np.uint8)).convert("P")
        ...     labels.save(Path(folder) / "a.png")
        ...     read_labels(Path(folder) / "a.png").tolist()
        [[0, 7]]
    """
    data = read_bytes(path)
    with _faults(path):
        _check_size(*_header_size(data), max_pixels)
        if not _is_tiff(data):
            with _open_with_pillow(data) as image:
                _check_size(*image.size, max_pixels)
                if image.mode == "P":
                    return np.array(image)
        pixels = decode_image(data, path, max_pixels=max_pixels).pixels
        if pixels.ndim == 3 and not (pixels[..., :1] == pixels[..., 1:3]).all():
            raise ValueError("a label map needs one class per pixel, but this is a color image")
    return pixels if pixels.ndim == 2 else pixels[..., 0]


def image_size(path: str | Path) -> tuple[int, int]:
    """Return (width, height) from the file's header, before any orientation; nothing is decoded.

    Raises:
        ImageFault: missing, empty, or not an image.
    """
    with _faults(path):
        return _header_size(read_bytes(path))


def read_bytes(path: str | Path) -> bytes:
    """Read the bytes of an image file.

    Raises:
        ImageFault: missing, empty, unreadable, or larger than 1 GiB.
    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise ImageFault(path, "not a file")
        size = status.st_size
        if size > MAX_FILE_BYTES:
            raise ImageFault(path, f"the file has {size} bytes, more than {MAX_FILE_BYTES}")
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageFault(path, "missing") from None
    except ValueError as error:  # a name that no file can have
        raise ImageFault(path, f"cannot be read ({error})") from None
    except OSError as error:
        raise ImageFault(path, f"cannot be read ({error.strerror})") from None
    if not data:
        raise ImageFault(path, "empty file (0 bytes)")
    return data


@contextmanager
def _faults(path: str | Path) -> Iterator[None]:
    """Turn whatever a decoder throws at a hostile or broken file into one named fault."""
    try:
        yield
    except ImageFault:
        raise
    except PIL.UnidentifiedImageError:
        raise ImageFault(path, "not an image, or of an unsupported format") from None
    except Exception as error:
        raise ImageFault(path, _reason(error)) from None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    lowered = text.lower()
    if "truncated" in lowered or "premature" in lowered or "broken data" in lowered or "eof" in lowered:
        return f"truncated or damaged ({text[:120]})"
    return text[:200]


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ValueError(f"no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise ValueError(f"decompression bomb: {width} x {height} pixels, more than {max_pixels}")


def _header_size(data: bytes) -> tuple[int, int]:
    if _is_tiff(data):
        with tifffile.TiffFile(BytesIO(data)) as file:
            page = file.pages[0]
            return int(page.imagewidth), int(page.imagelength)
    if data[:8] == _PNG and len(data) >= 24:  # Pillow needs pixels to be there, a bomb has none
        if data[12:16] != b"IHDR":
            raise ValueError("damaged PNG: the header (IHDR) is not first")
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    with _open_with_pillow(data) as image:
        return image.size


def _is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _is_deep_color_png(data: bytes) -> bool:
    if data[:8] != _PNG or len(data) < 33:
        return False
    depth, color = struct.unpack(">BB", data[24:26])
    return depth == 16 and color in (2, 4, 6)


def _open_with_pillow(data: bytes) -> PIL.Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            return PIL.Image.open(BytesIO(data), formats=_FORMATS)
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"decompression bomb: {error}") from None


def _decode_with_pillow(data: bytes, max_pixels: int) -> np.ndarray:
    with _open_with_pillow(data) as image:
        _check_size(*image.size, max_pixels)  # a PNG may have a second header, and Pillow goes by the last
        orientation = _orientation(image)
        image.load()
        mode = image.mode
        if mode.startswith("I;16"):
            pixels = _array(image, mode).astype(np.uint16, copy=False)
        elif mode == "I":
            pixels = _narrow(_array(image, mode))
        elif mode in ("F", "RGBA", "RGB"):
            pixels = _array(image, mode)
        elif mode in ("1", "L", "LA"):
            pixels = _array(image, "L")
        else:  # palettes and other color spaces
            pixels = _array(image, "RGB")
    return upright(pixels, orientation)


def _array(image: PIL.Image.Image, mode: str) -> np.ndarray:
    """The pixels of a loaded image in a mode; a large one strip by strip, each converted by itself."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        return np.asarray(image if image.mode == mode else image.convert(mode))
    pixels: np.ndarray | None = None
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        part = np.asarray(strip if strip.mode == mode else strip.convert(mode))
        if pixels is None:
            pixels = np.empty((height, *part.shape[1:]), part.dtype)
        pixels[top : top + rows] = part
    assert pixels is not None
    return pixels


def _orientation(image: PIL.Image.Image) -> int:
    """EXIF tag 274, where Pillow does not apply it itself, as it does for TIFF."""
    if image.format == "TIFF":
        return 1
    value = image.getexif().get(_EXIF_ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def _decode_deep_png(data: bytes, max_pixels: int) -> np.ndarray:
    with _open_with_pillow(data) as image:
        _check_size(*image.size, max_pixels)
        orientation = _orientation(image)
    pixels = imagecodecs.png_decode(data)
    return upright(pixels[..., 0] if pixels.shape[-1] == 2 else pixels, orientation)


def _is_deep_pgm(data: bytes) -> bool:
    header = _PGM_HEADER.match(data)
    return header is not None and int(header[3]) > 255


def _decode_deep_pgm(data: bytes) -> np.ndarray:
    """Counts as they stand; Pillow would stretch them from the file's own maximum to 65535."""
    header = _PGM_HEADER.match(data)
    assert header is not None
    width, height = int(header[1]), int(header[2])
    if len(data) - header.end() < 2 * width * height:
        raise ValueError(f"truncated: {len(data) - header.end()} bytes of {2 * width * height}")
    return np.frombuffer(data, ">u2", width * height, header.end()).reshape(height, width).astype(np.uint16)


def _narrow(pixels: np.ndarray) -> np.ndarray:
    low, high = int(pixels.min()), int(pixels.max())
    if low >= 0 and high <= 0xFFFF:
        return pixels.astype(np.uint16)
    return pixels.astype(np.float32)


def _decode_tiff(data: bytes, max_pixels: int) -> np.ndarray:
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages[0]
        photometric = getattr(page.photometric, "name", "MINISBLACK")
        if photometric not in ("MINISBLACK", "MINISWHITE", "RGB"):
            return _decode_with_pillow(data, max_pixels)
        if page.imagedepth > 1:
            raise ValueError(f"a TIFF volume of {page.imagedepth} images; give one image per file")
        if page.samplesperpixel > 4:
            raise ValueError(f"a TIFF with {page.samplesperpixel} channels; give one band per file")
        pixels = page.asarray()
        tag = page.tags.get(_EXIF_ORIENTATION)
        orientation = int(tag.value) if tag is not None else 1
        white = (1 << page.bitspersample) - 1  # of the file's own depth, 12 bits perhaps
        if page.axes.startswith("S"):
            pixels = np.moveaxis(pixels, 0, -1)
    if pixels.dtype == bool:
        pixels, white = pixels.astype(np.uint8) * 255, 255
    elif pixels.dtype not in (np.uint8, np.uint16):
        pixels = _narrow(pixels) if pixels.dtype.kind in "iu" else pixels.astype(np.float32)
    if photometric == "MINISWHITE" and pixels.dtype.kind == "u" and white <= np.iinfo(pixels.dtype).max:
        pixels = pixels.dtype.type(white) - pixels
    return upright(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] <= 2 else pixels, orientation)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror pixels as EXIF tag 274 asks.

    1 as is, 3 by 180, 6 by 90 clockwise, 8 by 90 counterclockwise, the even ones mirrored; anything else is
    left as is.

    Example:
        >>> upright(np.array([[1, 2], [3, 4]]), 6)
        array([[3, 1],
               [4, 2]])
    """
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 8: 1, 6: 3, 7: 3}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, turns))
