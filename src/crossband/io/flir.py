"""FLIR's radiometric records: temperatures and the embedded photograph, of JPEG, FFF, SEQ and CSQ files.

A radiometric JPEG carries an FFF file in its APP1 segments; ``.fff`` is that file alone, ``.seq`` and ``.csq``
are many of them one after the other. Handhelds write the directory big-endian, DJI's Zenmuse XT (FLIR's Tau
core) little-endian; counts are raw, a PNG in the wrong byte order, or JPEG-LS. The layout is ExifTool's
description (https://exiftool.org/TagNames/FLIR.html); temperatures follow the file's own emissivity, distance,
window and atmosphere by the published equation (Minkina and Dudzik, "Infrared Thermography", 2009), in which
the air between weakens by the square root of the distance.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image

__all__ = [
    "fff_frames",
    "fff_size",
    "has_flir_records",
    "has_photograph",
    "is_fff",
    "is_radiometric_jpeg",
    "read_kelvin",
    "read_photograph",
    "record_file",
    "segments",
]

_FLIR_SEGMENT = b"FLIR\x00"
_FFF = b"FFF\x00"
_HEADER_BYTES = 1 << 17
_MAX_RECORDS = 4096  # real files have some thirty
_MAX_PIXELS = 1 << 24  # no thermal camera has a quarter of it
_RAW, _PHOTOGRAPH, _CAMERA = 1, 14, 32
_HEAD = 32  # bytes of a record before its content


@dataclass(frozen=True)
class _Record:
    subtype: int
    content: bytes


def is_radiometric_jpeg(data: bytes) -> bool:
    """Tell whether the bytes are (the beginning of) a JPEG that carries FLIR records.

    Example:
        >>> is_radiometric_jpeg(b"not a JPEG")
        False
    """
    return any(marker == 0xE1 and payload[:5] == _FLIR_SEGMENT for marker, payload in segments(data))


def is_fff(data: bytes) -> bool:
    """Tell whether the bytes begin as an FFF file does.

    Example:
        >>> is_fff(b"FFF\\0" + bytes(60))
        False
    """
    return data[:4] == _FFF and len(data) >= 64 and _byte_order(data) is not None


def has_flir_records(path: Path) -> bool:
    """Return whether the file is a JPEG that carries FLIR records; only its head is read.

    Example:
        >>> has_flir_records(Path("gone.jpg"))
        False
    """
    try:
        with open(path, "rb") as file:
            return is_radiometric_jpeg(file.read(_HEADER_BYTES))
    except OSError:
        return False


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and payload of each segment before a JPEG's picture; a last one may be cut short."""
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xDA or length < 2:
            return
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def record_file(data: bytes) -> bytes:
    """Return the FFF file in the APP1 segments of a JPEG, or the bytes themselves where they are one.

    Raises:
        ValueError: a part is missing, or twice there.
    """
    if data[:4] == _FFF:
        return data
    parts: dict[int, bytes] = {}
    last = -1
    for marker, payload in segments(data):
        if marker == 0xE1 and payload[:5] == _FLIR_SEGMENT and len(payload) > 8:
            number, last = payload[6], payload[7]
            if number in parts:
                raise _unreadable("a part stands twice")
            parts[number] = payload[8:]
            if len(parts) > last:
                break
    if last < 0 or set(parts) != set(range(last + 1)):
        raise _unreadable("a part of them is missing")
    return b"".join(parts[number] for number in range(last + 1))


def fff_frames(data: bytes) -> list[tuple[int, int]]:
    """Find where each frame of an FFF, SEQ or CSQ file begins and ends, in bytes; nothing is decoded.

    Example:
        >>> fff_frames(b"no sequence")
        []
    """
    starts, at = [], data.find(_FFF)
    while at >= 0:
        head = data[at : at + 64]
        order = _byte_order(head) if len(head) == 64 else None
        if order is not None:
            starts.append(at)
        at = data.find(_FFF, at + 4)
    return list(zip(starts, [*starts[1:], len(data)], strict=True)) if starts else []


def fff_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) of the (first) thermal image of an FFF file, from the head of its record.

    Raises:
        ValueError: the records cannot be read.
    """
    records = _records(data)
    if _RAW not in records:
        raise _unreadable("they hold no thermal image")
    _, width, height = _head(records[_RAW].content)
    return width, height


def has_photograph(data: bytes) -> bool:
    """Tell whether the records of a file hold a photograph; what cannot be read holds none.

    Example:
        >>> has_photograph(b"FFF")
        False
    """
    try:
        return _PHOTOGRAPH in _records(record_file(data))
    except ValueError:
        return False


def read_kelvin(data: bytes) -> np.ndarray:
    """Read the temperatures, kelvin, float32 ``(H, W)``, of a radiometric JPEG or an FFF file.

    Of an FFF file that holds several images, the first.

    Raises:
        ValueError: the records cannot be read.
    """
    records = _records(record_file(data))
    if _RAW not in records:
        raise _unreadable("they hold no thermal image")
    counts = _counts(records[_RAW])
    if _CAMERA not in records:
        raise _unreadable("they hold no constants of the camera")
    return _Camera.of(records[_CAMERA].content).kelvin(counts)


def read_photograph(data: bytes) -> bytes | np.ndarray | None:
    """Return the photograph among the records, or ``None``.

    A file in a file, or pixels where those need mending.

    FLIR's PNG photographs hold Y, Cb and Cr in the place of red, green and blue; they come out in color.
    """
    try:
        content = _records(record_file(data))[_PHOTOGRAPH].content[_HEAD:]
    except (ValueError, KeyError):
        return None
    if not content.startswith((b"\x89PNG", b"\xff\xd8")):
        return None
    if content.startswith(b"\x89PNG"):
        width, height = struct.unpack(">II", content[16:24].ljust(8, b"\0"))
        if width * height > _MAX_PIXELS:
            return None
        try:
            with PIL.Image.open(BytesIO(content), formats=["PNG"]) as image:
                pixels = np.array(image)
        except (OSError, ValueError, SyntaxError):
            return None
        if _is_luma_and_chroma(pixels):
            return np.asarray(PIL.Image.fromarray(pixels[..., :3], "YCbCr").convert("RGB"))
    return content


def _is_luma_and_chroma(pixels: np.ndarray) -> bool:
    """Whether three channels are Y, Cb and Cr: chroma varies far less than luma, about the middle. In a picture
    in RGB all three vary alike."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] < 3:
        return False
    luma, *chroma = (pixels[..., c] for c in range(3))
    return all(c.std() < 0.6 * luma.std() and abs(float(c.mean()) - 128) < 40 for c in chroma)


def _byte_order(head: bytes) -> str | None:
    """``>`` or ``<``, by the version of the format, which is a hundred or some more."""
    for order in (">", "<"):
        if 100 <= struct.unpack(order + "I", head[20:24])[0] < 200:
            return order
    return None


def _records(data: bytes) -> dict[int, _Record]:
    """The records of an FFF file by their kind; the last of a kind counts."""
    order = _byte_order(data) if data[:4] == _FFF and len(data) >= 64 else None
    if order is None:
        raise _unreadable("they have no header")
    start, count = struct.unpack(order + "II", data[24:32])
    if count > _MAX_RECORDS:
        raise _unreadable(f"the directory is damaged: it claims {count} records")
    found: dict[int, _Record] = {}
    for at in range(start, min(start + 32 * count, len(data) - 31), 32):
        kind, subtype, _, _, offset, length = struct.unpack(order + "HHIIII", data[at : at + 20])
        if kind:
            found[kind] = _Record(subtype, data[offset : offset + length])
    return found


def _counts(record: _Record) -> np.ndarray:
    """The thermal image's counts, uint16 ``(H, W)``."""
    content = record.content[_HEAD:]
    order, width, height = _head(record.content)
    if width * height > _MAX_PIXELS:
        raise _unreadable(f"the thermal image claims {width} x {height} pixels")
    if content.startswith(b"\x89PNG"):
        counts = _decoded(content, ">II", 16, imagecodecs.png_decode).byteswap()
    elif content.startswith(b"\xff\xd8") and (start := content[:512].find(b"\xff\xf7")) > 0:  # JPEG-LS
        counts = _decoded(content, ">HH", start + 5, imagecodecs.jpegls_decode)
    elif len(content) >= 2 * width * height:
        counts = np.frombuffer(content, order + "u2", width * height).reshape(height, width)
    else:
        raise _unreadable(f"the thermal image is cut off: {len(content)} bytes of {2 * width * height}")
    if counts.shape != (height, width) or counts.dtype.itemsize != 2 or not counts.size:
        raise _unreadable(f"the thermal image is {counts.shape} where {height} x {width} is said")
    return counts.astype(np.uint16)


def _head(content: bytes) -> tuple[str, int, int]:
    """Byte order, width and height of a record that holds a picture."""
    if len(content) < _HEAD:
        raise _unreadable("the thermal image is cut off")
    order = "<" if content[1] == 0 else ">"
    width, height = struct.unpack(order + "HH", content[2:6])
    return order, width, height


def _decoded(content: bytes, form: str, at: int, decode: object) -> np.ndarray:
    if len(content) < at + struct.calcsize(form):
        raise _unreadable("the thermal image is cut off")
    one, other = struct.unpack_from(form, content, at)
    if one * other > _MAX_PIXELS:
        raise _unreadable(f"the thermal image claims {one} x {other} pixels")
    try:
        return np.asarray(decode(content))  # type: ignore[operator]
    except Exception as error:  # each codec has an error of its own
        raise _unreadable(f"the thermal image: {' '.join(str(error).split())[:80]}") from None


@dataclass(frozen=True)
class _Camera:
    """What the camera's record says; temperatures in kelvin, distance in meters."""

    emissivity: float
    distance: float
    reflected: float
    atmosphere: float
    window: float
    transmission: float
    humidity: float
    r1: float
    b: float
    f: float
    alpha: tuple[float, float]
    beta: tuple[float, float]
    x: float
    o: int
    r2: float

    @classmethod
    def of(cls, content: bytes) -> _Camera:
        if len(content) < 784:
            raise _unreadable("the constants of the camera are cut off")
        order = "<" if content[1] == 0 else ">"

        def read(form: str, at: int) -> tuple[float, ...]:
            return struct.unpack_from(order + form, content, at)

        alpha1, alpha2, beta1, beta2, x = read("5f", 112)
        emissivity, distance, reflected, atmosphere, window, transmission = read("6f", 32)
        (humidity,), (r1, b, f), (o, r2) = read("f", 60), read("3f", 88), read("if", 776)
        camera = cls(
            emissivity,
            distance,
            reflected,
            atmosphere,
            window,
            transmission,
            humidity,
            r1,
            b,
            f,
            (alpha1, alpha2),
            (beta1, beta2),
            x,
            int(o),
            r2,
        )
        camera._check()
        return camera

    def _check(self) -> None:
        temperatures = (self.reflected, self.atmosphere, self.window)
        shares = (self.emissivity, self.transmission)
        fine = all(0 < value <= 1.5 for value in shares) and all(0 < value < 1e4 for value in temperatures)
        fine = (
            fine and all(0 < value < 1e9 for value in (self.r1, self.b, self.r2)) and 0 <= self.distance < 1e6
        )
        others = (self.f, self.x, *self.alpha, *self.beta)
        if not fine or not all(abs(value) < 1e6 for value in others) or not 0 <= self.humidity <= 100:
            raise _unreadable("the constants of the camera are none")

    def _radiance(self, kelvin: float) -> float:
        """Counts of a black body."""
        try:
            return self.r1 / (self.r2 * (math.exp(self.b / kelvin) - self.f)) - self.o
        except (OverflowError, ZeroDivisionError):
            raise _unreadable("the constants of the camera are none") from None

    def kelvin(self, counts: np.ndarray) -> np.ndarray:
        """Temperatures of the object, float32; NaN where no temperature gives the count."""
        c = self.atmosphere - 273.15
        humidity = self.humidity / 100 if self.humidity > 1.5 else self.humidity  # some write percent
        water = humidity * math.exp(1.5587 + 6.939e-2 * c - 2.7816e-4 * c**2 + 6.8455e-7 * c**3)
        path = math.sqrt(self.distance)
        thin, thick = (
            math.exp(-path * (a + b * math.sqrt(water))) for a, b in zip(self.alpha, self.beta, strict=True)
        )
        air = self.x * thin + (1 - self.x) * thick
        if not 0 < air < 10:
            raise _unreadable("the air between lets nothing through")
        foreign = (
            (1 - self.emissivity) * air * self.transmission * self._radiance(self.reflected)
            + (1 - air) * self.transmission * self._radiance(self.atmosphere)
            + (1 - self.transmission) * self._radiance(self.window)
        )
        own = (counts - foreign) / (self.emissivity * air * self.transmission)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            kelvin = self.b / np.log(self.r1 / (self.r2 * (own + self.o)) + self.f)
        return np.where(np.isfinite(kelvin) & (kelvin > 0), kelvin, np.nan).astype(np.float32)


def _unreadable(reason: str) -> ValueError:
    return ValueError(f"its FLIR records cannot be read ({reason})")
