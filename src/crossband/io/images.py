"""Read one image without losing depth: what the file holds is what comes out.

The format is told by the file's first bytes, never by its name, and the size is checked in the header
before a pixel is decoded. What a file holds besides, and what cannot be right in it, is a remark
(:mod:`.remarks`) and never a silence.
"""

from __future__ import annotations

import contextlib
import stat
import struct
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from ..bands import Band, Units, parse_band, parse_units
from ..errors import ImageFault
from ..stored import StoredCell, stored_file
from .composite import parts_of, view_of
from .dji import is_dji_thermal, read_dji_counts
from .flir import fff_frames, fff_size, is_fff, is_radiometric_jpeg, read_kelvin, read_photograph
from .netpbm import netpbm_size, read_netpbm
from .pillow import (
    PNG,
    check_size,
    decode_deep_png,
    decode_with_pillow,
    is_deep_color_png,
    jpeg_size,
    open_with_pillow,
    orientation_of,
    upright,
)
from .remarks import Remark, suspicions
from .tables import LEAST_SIDE, is_npy, npy_size, read_npy, read_table, table_size
from .tiff import is_tiff, narrowed, read_tiff, tiff_size

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Image",
    "as_image",
    "begins_as_image",
    "decode_image",
    "image_size",
    "is_image_file",
    "read_bytes",
    "read_image",
    "read_labels",
]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".webp"})
MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 1 << 30
_NO_IMAGES = frozenset(
    {".txt", ".json", ".xml", ".yaml", ".yml", ".md", ".py", ".parquet", ".html", ".zip", ".pt"}
)
_TABLES = frozenset({".csv", ".tsv", ".asc", ".dat"})
_MAGIC = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"BM",
    *(b"P" + sign for sign in (b"1", b"2", b"3", b"4", b"5", b"6")),
)
_PNG_END, _JPEG_END = b"IEND\xae\x42\x60\x82", b"\xff\xd9"
_ZEROS = 64  # at the end of a file, from which on its own end is looked for
_MAGIC_HEAD = 64
_TEXT_HEAD = 1 << 16  # bytes of a text in which its first row of numbers stands


@dataclass(frozen=True)
class Image:
    """Pixels as the file holds them, upright.

    Attributes:
        pixels: ``(H, W)`` or ``(H, W, 3 or 4)``; uint8, uint16 or float32.
        units: what a thermal pixel counts; ``counts`` where nobody said otherwise.
        remarks: what the file holds besides, and what cannot be right in it.
    """

    pixels: np.ndarray
    units: Units = Units.COUNTS
    remarks: tuple[Remark, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


def as_image(
    image: Any, band: Band | str = Band.RGB, units: Units | str | None = None, least: int | None = None
) -> Image:
    """Return an image given as a path, an array, a PIL image or an :class:`Image` as the latter.

    Args:
        image: arrays are ``(H, W)`` or ``(H, W, 3 or 4)``: uint8, uint16 or floats.
        band: what is read of a file that holds several.
        units: of thermal pixels; see :func:`read_image`, also for ``least``.
        least: of a file.

    Raises:
        ImageFault: a file that cannot be used, or an array of another shape or type.

    Example:
        >>> as_image(np.zeros((4, 6), np.uint8)).size
        (4, 6)
    """
    if isinstance(image, str | Path):
        return read_image(image, band, units, least=least)
    if isinstance(image, Image):
        return image if units is None else Image(image.pixels, Units(units))
    if isinstance(image, PIL.Image.Image):
        upright = PIL.ImageOps.exif_transpose(image)
        deep = upright.mode in ("L", "RGB", "RGBA", "F") or upright.mode.startswith("I;16")
        image = np.asarray(upright if deep else upright.convert("RGB"))
    pixels = np.asarray(image)
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not shaped or not pixels.size or pixels.dtype.kind not in "uf":
        raise ImageFault("the array", f"no image: shape {pixels.shape}, {pixels.dtype}")
    if pixels.dtype.kind == "f":
        pixels = pixels.astype(np.float32)
    return Image(pixels, Units(units) if units is not None else Units.COUNTS)


def read_image(
    path: str | Path,
    band: Band | str = Band.RGB,
    units: Units | str | None = None,
    max_pixels: int = MAX_PIXELS,
    least: int | None = None,
) -> Image:
    """Read one image file in its own depth, with its EXIF orientation applied.

    A radiometric FLIR file gives temperatures in kelvin for ``tir`` and the embedded photograph for ``rgb``;
    without one, the JPEG's own picture, which is the thermal image in false color. DJI's R-JPEG gives the
    sensor's counts for ``tir``. A four-channel image whose fourth channel has more than two levels is MFNet's:
    color for ``rgb``, the fourth channel for ``tir``. Every other file gives its own pixels. Of a TIFF or a
    sequence of several images, the first is read. Thermal pixels that a file declares to hold no data are NaN.

    Args:
        path: PNG, JPEG, TIFF, BMP, PGM, PPM, WebP, FFF, NPY or a table of numbers; the name does not matter.
        band: the band the image is read for.
        units: the units of thermal pixels, where the file does not say them itself.
        max_pixels: larger images are refused before they are decoded.
        least: the side that is needed, where the whole image is not: a JPEG may be decoded at a half, a quarter
            or an eighth of its size, whose sides are no shorter.

    Raises:
        ImageFault: missing, empty, not an image, truncated, of an unknown kind, or too large.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "thermal.tif"
        ...     PIL.Image.fromarray(np.full((4, 6), 29315, np.uint16)).save(file)
        ...     image = read_image(file, "tir", "centikelvin")
        >>> image.size, image.pixels.dtype, image.units
        ((4, 6), dtype('uint16'), <Units.CENTIKELVIN: 'centikelvin'>)
    """
    return decode_image(read_bytes(path), path, band, units, max_pixels, least)


def decode_image(
    data: bytes,
    path: str | Path,
    band: Band | str = Band.RGB,
    units: Units | str | None = None,
    max_pixels: int = MAX_PIXELS,
    least: int | None = None,
) -> Image:
    """Decode the bytes of one image file; ``path`` names it in faults. See :func:`read_image`.

    Raises:
        ImageFault: not an image, truncated, of an unknown kind, or too large.
    """
    band = parse_band(band)
    with _faults(path):
        check_size(*_header_size(data), max_pixels)
        _check_end(data)
        pixels, own_units, remarks = _decode(data, band, max_pixels, least)
        check_size(pixels.shape[1], pixels.shape[0], max_pixels)
    thermal = band is Band.TIR
    if thermal and pixels.ndim == 3 and pixels.shape[-1] == 4 and _is_picture(pixels[..., 3]):
        pixels = np.ascontiguousarray(pixels[..., 3])
    said = parse_units(units) if units is not None and thermal else Units.COUNTS
    remarks += suspicions(pixels, own_units or said, thermal)
    return Image(pixels, own_units or said, tuple(remarks))


def _decode(
    data: bytes, band: Band, max_pixels: int, least: int | None
) -> tuple[np.ndarray, Units | None, list[Remark]]:
    """The pixels, upright; the units that the file itself says; and what is to be said."""
    if is_fff(data):
        return _decode_fff(data, band)
    if band is not Band.NIR and is_radiometric_jpeg(data):
        return _decode_flir_jpeg(data, band, max_pixels)
    if band is Band.TIR and is_dji_thermal(data):
        text = "a DJI R-JPEG: its counts are read; how they become temperatures is DJI's own and not published"
        with open_with_pillow(data) as image:
            return upright(read_dji_counts(data), orientation_of(image)), Units.COUNTS, [Remark("R-JPEG", text)]
    if is_npy(data) or _is_table(data):
        return _decode_numbers(data, max_pixels)
    if is_tiff(data):
        pixels, orientation, remarks = read_tiff(data, max_pixels, masked=band is Band.TIR)
        if pixels is None:
            return decode_with_pillow(data, max_pixels), None, remarks
        return upright(pixels, orientation), None, remarks
    if is_deep_color_png(data):
        return decode_deep_png(data, max_pixels), None, []
    if netpbm_size(data) is not None:
        pixels, remarks = read_netpbm(data, scaled=band is not Band.TIR)
        return pixels, None, remarks
    return decode_with_pillow(data, max_pixels, least), None, []


def _decode_fff(data: bytes, band: Band) -> tuple[np.ndarray, Units | None, list[Remark]]:
    frames = fff_frames(data)
    many = [Remark("pages", f"{len(frames)} images, of which the first is read")] if len(frames) > 1 else []
    first = data[: frames[0][1]]
    if band is Band.TIR:
        return read_kelvin(first), Units.KELVIN, many
    photograph = read_photograph(first)
    if photograph is None:
        raise ValueError("it holds a thermal image and no photograph")
    pixels = decode_with_pillow(photograph, MAX_PIXELS) if isinstance(photograph, bytes) else photograph
    return pixels, Units.COUNTS, many


def _decode_flir_jpeg(
    data: bytes, band: Band, max_pixels: int
) -> tuple[np.ndarray, Units | None, list[Remark]]:
    with open_with_pillow(data) as image:  # the camera turned all it recorded, or nothing
        orientation = orientation_of(image)
    if band is Band.TIR:
        return upright(read_kelvin(data), orientation), Units.KELVIN, []
    photograph = read_photograph(data)
    if isinstance(photograph, bytes):
        try:
            photograph = decode_with_pillow(photograph, max_pixels)
        except (OSError, ValueError, SyntaxError):
            photograph = None
    if photograph is None:
        text = "a radiometric JPEG without a photograph: its picture is the thermal image in false color"
        return decode_with_pillow(data, max_pixels), Units.COUNTS, [Remark("no photograph", text)]
    pixels = photograph[..., :3] if photograph.ndim == 3 else photograph
    return upright(pixels, orientation), Units.COUNTS, []


def _decode_numbers(data: bytes, max_pixels: int) -> tuple[np.ndarray, Units | None, list[Remark]]:
    pixels = read_npy(data) if is_npy(data) else read_table(data, max_pixels)
    if pixels.dtype in (np.uint8, np.uint16):
        return np.ascontiguousarray(pixels), None, []
    pixels, remarks = narrowed(pixels)
    return np.ascontiguousarray(pixels), None, remarks


def is_image_file(path: Path) -> bool:
    """Tell by its name whether a file is to be read as an image, else by its first bytes.

    Example:
        >>> is_image_file(Path("a.PNG")), is_image_file(Path(__file__))
        (True, False)
    """
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in _NO_IMAGES:
        return False
    if isinstance(stored := stored_file(path), StoredCell):
        return stored.is_file()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with open(path, "rb") as file:
            head = file.read(_TEXT_HEAD if suffix in _TABLES else 256)
    except OSError:
        return False
    if is_npy(head):
        with contextlib.suppress(ValueError):
            return min(npy_size(head)) >= LEAST_SIDE
        return False
    return _is_table(head) if suffix in _TABLES else _begins_as_image(head)


def begins_as_image(path: Path) -> bool:
    """Tell by its first bytes whether a file may be an image of a kind that is read; nothing is decoded.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(_MAGIC_HEAD)
        if _begins_as_image(head) or head.startswith((b"P1", b"P4")) or is_npy(head):
            return True
        return _is_table(head + file.read(_TEXT_HEAD))


def _begins_as_image(head: bytes) -> bool:
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return is_fff(head) or is_tiff(head) or head.startswith(_MAGIC) or webp


def _is_table(data: bytes) -> bool:
    return not data.startswith(_MAGIC) and table_size(data[:_TEXT_HEAD]) is not None


def _is_picture(channel: np.ndarray) -> bool:
    """Whether a fourth channel is a picture of its own: transparency has one level, or two as a mask has."""
    low, high = channel.min(), channel.max()
    return bool(((channel != low) & (channel != high)).any())


def read_labels(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a label map as the file holds it, integers ``(H, W)``.

    For a PNG with a palette these are the indices of its colors; an ``.npy`` file holds them as they are.

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
        check_size(*_header_size(data), max_pixels)
        _check_end(data)
        if not is_tiff(data) and not is_npy(data):
            with open_with_pillow(data) as image:
                check_size(*image.size, max_pixels)
                if image.mode == "P":
                    return np.array(image)
        pixels = decode_image(data, path, max_pixels=max_pixels).pixels
        if pixels.ndim == 3 and not (pixels[..., :1] == pixels[..., 1:3]).all():
            raise ValueError("a label map needs one class per pixel, but this is a color image")
    return pixels if pixels.ndim == 2 else pixels[..., 0]


def image_size(path: str | Path) -> tuple[int, int]:
    """Read (height, width) from the file's header, before any orientation; nothing is decoded.

    Raises:
        ImageFault: missing, empty, or not an image.
    """
    with _faults(path):
        return _header_size(read_bytes(path))[::-1]


def read_bytes(path: str | Path) -> bytes:
    """Read the bytes of an image file.

    Raises:
        ImageFault: missing, empty, unreadable, or larger than 1 GiB.
    """
    if (parts := parts_of(path)) is not None:
        return _together(path, parts)
    if (part := view_of(path)) is not None:
        return _cut(path, *part)
    try:
        if (stored := stored_file(path)) is not None:
            size = stored.size()
        else:
            status = Path(path).stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
                raise ImageFault(path, "not a file")
            size = status.st_size
        if size > MAX_FILE_BYTES:
            raise ImageFault(path, f"the file has {size} bytes, more than {MAX_FILE_BYTES}")
        data = Path(path).read_bytes() if stored is None else stored.read()
    except tarfile.TarError as error:
        raise ImageFault(path, f"its tar file is damaged ({error})") from None
    except FileNotFoundError:
        raise ImageFault(path, "missing") from None
    except ValueError as error:  # a name that no file can have
        raise ImageFault(path, f"cannot be read ({error})") from None
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())[:200]
        raise ImageFault(path, f"cannot be read ({reason})") from None
    if not data:
        raise ImageFault(path, "empty file (0 bytes)")
    return data


def _together(path: str | Path, parts: list[Path]) -> bytes:
    """Three gray files as one PPM of 8 or 16 bits.

    Raises:
        ImageFault: one cannot be read, or they differ in size or depth.
    """
    channels = [read_image(part).pixels for part in parts]
    first = channels[0]
    if any(c.ndim != 2 or c.shape != first.shape or c.dtype != first.dtype for c in channels):
        raise ImageFault(path, "its three files are not gray images of one size and depth")
    if first.dtype not in (np.uint8, np.uint16):
        raise ImageFault(path, f"its three files are of {first.dtype}, no whole numbers")
    return _netpbm(np.stack(channels, -1))


def _cut(path: str | Path, file: Path, view: tuple[int, int, int, int]) -> bytes:
    """What of an image lies in a view, as PGM or PPM of 8 or 16 bits.

    Raises:
        ImageFault: it cannot be read, has no whole numbers or a fourth channel, or is smaller than the view.
    """
    pixels = read_image(file).pixels
    left, top, width, height = view
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[2:] not in ((), (3,)):
        raise ImageFault(path, f"a view of {pixels.dtype} {pixels.shape}, not of gray or color whole numbers")
    part = pixels[top : top + height, left : left + width]
    if part.shape[:2] != (height, width) or not part.size:
        raise ImageFault(path, f"{file.name} is {pixels.shape[1]}x{pixels.shape[0]}, smaller than the view")
    return _netpbm(part)


def _netpbm(pixels: np.ndarray) -> bytes:
    """Whole numbers ``(H, W)`` or ``(H, W, 3)`` as PGM or PPM."""
    kind = "P6" if pixels.ndim == 3 else "P5"
    head = f"{kind}\n{pixels.shape[1]} {pixels.shape[0]}\n{np.iinfo(pixels.dtype).max}\n".encode()
    return head + (pixels.astype(">u2") if pixels.dtype == np.uint16 else pixels).tobytes()


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


def _check_end(data: bytes) -> None:
    """Refuse a PNG or JPEG that ends in zeros, as where power failed or a copy stopped: decoders show gray."""
    if data[-_ZEROS:].strip(b"\0"):
        return
    end = _PNG_END if data[:8] == PNG else _JPEG_END if data[:3] == b"\xff\xd8\xff" else b""
    written = data.rstrip(b"\0")
    if not written.endswith(end):
        raise ValueError(f"broken data: its last {len(data) - len(written)} of {len(data)} bytes are zeros")


def _header_size(data: bytes) -> tuple[int, int]:
    if is_tiff(data):
        return tiff_size(data)
    if is_fff(data):
        return fff_size(data)
    if is_npy(data):
        return npy_size(data)
    if (size := netpbm_size(data)) is not None:
        return size
    if data[:8] == PNG and len(data) >= 24:  # Pillow needs pixels to be there, a bomb has none
        if data[12:16] != b"IHDR":
            raise ValueError("damaged PNG: the header (IHDR) is not first")
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if (size := jpeg_size(data)) is not None:
        return size
    if _is_table(data):
        columns = table_size(data[:_TEXT_HEAD])
        assert columns is not None
        return columns
    with open_with_pillow(data) as image:
        return image.size
